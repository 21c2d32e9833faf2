"""The queue between api and worker: Dramatiq messages that carry order ids, a hint and never the truth."""

from collections.abc import Sequence
from uuid import UUID

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

QUEUE = "orders"
ACTOR = "execute_orders"
MAX_IDS = 64

# Seconds. A dead Redis must not hold a thread for long: what a lost message announced is found by the sweep.
CONNECT_TIMEOUT_S = 1.0
SOCKET_TIMEOUT_S = 5.0


def connect(redis_url: str) -> redis.Redis:
    """Return a synchronous client whose commands fail within seconds while Redis is away."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_keepalive=True,
    )


def execution_message(order_ids: Sequence[UUID], traceparent: str | None) -> dramatiq.Message[None]:
    """Return the message that asks the workers to execute the orders; `traceparent` is the sender's, for a link."""
    if len(order_ids) > MAX_IDS:
        raise ValueError(f"a message carries at most {MAX_IDS} order ids, not {len(order_ids)}")
    options = {"traceparent": traceparent} if traceparent else {}
    return dramatiq.Message(
        queue_name=QUEUE,
        actor_name=ACTOR,
        args=([str(order_id) for order_id in order_ids],),
        kwargs={},
        options=options,
    )


def make_sender(redis_url: str) -> RedisBroker:
    """Return a broker that only sends; no actor, worker or middleware is needed for that."""
    return RedisBroker(client=connect(redis_url), middleware=[])
