"""Waking the workers: order ids go to the queue from a thread of their own, beside the answers and never before one."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from engine_common.queue import MAX_IDS, execution_message
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext

log = logging.getLogger(__name__)

CAPACITY = 20_000

_COMPLAIN_EVERY_S = 10.0
FAREWELL_WITHIN_S = 2.0

_Waiting = tuple[UUID, TraceContext]


class Enqueuer:
    """Hands order ids to the queue in messages as large as the traffic makes them.

    An id that finds no room, or no Redis, is dropped: the workers' sweep finds its order.
    """

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker
        # Its put() wakes the thread at once and takes no lock of Python's own.
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="enqueuer", daemon=True)
        self._dropped = 0
        self._dropping = threading.Lock()
        self._silent_until = 0.0

    def start(self) -> None:
        """Begin to send; Redis may be away."""
        self._thread.start()

    def enqueue(self, order_id: UUID, context: TraceContext) -> None:
        """Take the id of an order that is committed; never waits."""
        if self._waiting.qsize() < CAPACITY:
            self._waiting.put((order_id, context))
        else:
            self._drop(1, "they arrive faster than Redis takes them")

    def close(self) -> None:
        """Send what is left, unless Redis is away; blocks for at most two seconds."""
        self._waiting.put(None)
        self._thread.join(FAREWELL_WITHIN_S)

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._send(batch)
            except (RedisError, BrokerConnectionError, OSError) as error:
                self._drop(len(batch), str(error))
            except Exception:  # without the thread, no order would be announced any more
                log.exception("%d orders could not be announced, workers find them by themselves", len(batch))

    def _take(self) -> Sequence[_Waiting] | None:
        """Wait for ids and return as many as there are and fit a message; None at the end."""
        first = self._waiting.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MAX_IDS and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                self._waiting.put(None)
                break
            batch.append(following)
        return batch

    def _send(self, batch: Sequence[_Waiting]) -> None:
        ids = [order_id for order_id, _ in batch]
        first = batch[0][1]
        if not tracing.enabled():
            self._broker.enqueue(execution_message(ids, first.traceparent))
            return
        links = [context for _, context in batch[1:]]
        with tracing.span("enqueue orders", parent=first, kind=tracing.SpanKind.PRODUCER, links=links):
            context = tracing.current() or first
            self._broker.enqueue(execution_message(ids, context.traceparent))

    def _drop(self, count: int, reason: str) -> None:
        with self._dropping:  # by whoever hands orders over, and by the thread
            self._dropped += count
            now = time.monotonic()
            if now >= self._silent_until:
                self._silent_until = now + _COMPLAIN_EVERY_S
                log.warning("%d orders were not announced, workers find them by themselves: %s", self._dropped, reason)
                self._dropped = 0
