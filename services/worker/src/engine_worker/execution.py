"""The life of one order in this process: run its handler, commit the move, until it is finished or not ours."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import structlog
from opentelemetry.trace import StatusCode

from engine_common.errors import DexUnavailable, StoreRefused, UnexpectedError, Unreachable, Verdict
from engine_common.orders import EventType, Order, timestamp
from engine_common.store.door import Move, Moved, SignedSwap, from_order
from engine_common.telemetry import tracing
from engine_common.telemetry.logs import log
from engine_common.transitions import RETRYABLE_FROM, Status
from engine_worker import measurements
from engine_worker.handlers import Tools
from engine_worker.ports import Clock, EventSink, Randomness, Store
from engine_worker.progress import Progress

# Seconds between two tries to reach a venue or the chain, growing from the first to the last.
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
# The same when PostgreSQL refused a transition and everything that could be stored instead.
_LONGEST_WAIT_FOR_STORE_S = 30.0
_JITTER = 0.25
_LONGEST_BACKOFF_MS = 60_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an order is tried, and how long between: exponential from `base_ms`, jitter of at most 25 %."""

    max_attempts: int
    base_ms: int
    patience_s: float

    def backoff_ms(self, failed_attempt: int, randomness: Randomness) -> int:
        """Return how long to wait after the given attempt, counted from 1."""
        planned = min(self.base_ms * 2 ** (failed_attempt - 1), _LONGEST_BACKOFF_MS)
        return round(planned * randomness.uniform(1 - _JITTER, 1 + _JITTER))


class OwnershipLost(Exception):
    """The order is another worker's now, or finished by somebody else: leave it alone."""


class Execution:
    """Carries one claimed order from its persisted state to its end."""

    def __init__(
        self,
        order: Order,
        tools: Tools,
        events: EventSink,
        policy: RetryPolicy,
        randomness: Randomness,
        lease_is_doubtful: Callable[[], bool],
    ) -> None:
        self.order = order
        self._tools = tools
        self._events = events
        self._policy = policy
        self._randomness = randomness
        self._lease_is_doubtful = lease_is_doubtful
        self._swap: SignedSwap | None = None
        self._waits = 0
        self._progress = Progress(order)
        # By the database's clock, which may have stepped back, the order has been in its state for this long already.
        waited_s = max(0.0, (order.updated_at - order.state_since).total_seconds())
        self._state_entered = self._clock.monotonic() - waited_s

    @property
    def _clock(self) -> Clock:
        return self._tools.clock

    @property
    def _store(self) -> Store:
        return self._tools.store

    @property
    def error_code(self) -> str | None:
        """Why the order failed, once it did."""
        return self._progress.error_code

    async def run(self) -> None:
        """Advance the order until it is finished. Returns quietly when it stops being this worker's."""
        try:
            while not self.order.terminal:
                await self._advance()
        except OwnershipLost:
            log.info("order.lease_lost", **self._progress.fields())

    async def _advance(self) -> None:
        """Make one move, or wait once for a venue or the chain that does not answer."""
        order = self.order
        try:
            with tracing.span(order.status.value, attributes={"order.attempt": order.attempt}):
                move = await self._tools.handlers[order.status](order, self._swap, self._tools)
        except Unreachable as error:
            if not self._out_of_patience():
                await self._wait(error)
                return
            waited = f"no answer for {self._policy.patience_s:g} s" if self._policy.patience_s else "no answer"
            move = self._ending(DexUnavailable(f"{waited}: {error}"))
        except Verdict as verdict:
            move = self._ending(verdict)
        except Exception as error:  # noqa: BLE001 - it is logged, and ends the attempt
            log.exception("order.handler_failed", status=order.status, attempt=order.attempt)
            if order.status is Status.SUBMITTED:
                await self._wait(error)
                return
            move = self._ending(UnexpectedError(f"the engine failed while {order.status}: {type(error).__name__}"))
        await self._commit(move)

    def _out_of_patience(self) -> bool:
        """In `submitted` the outcome is unknown, and stays so until the chain answers."""
        waited_s = self._clock.monotonic() - self._state_entered
        return self.order.status is not Status.SUBMITTED and waited_s >= self._policy.patience_s

    async def _wait(self, error: Exception, longest_s: float = _LONGEST_WAIT_S) -> None:
        planned_s = min(_FIRST_WAIT_S * 2**self._waits, longest_s)
        self._waits += 1
        measurements.record_wait(self.order.status)
        log.debug("order.waiting", status=self.order.status, planned_s=planned_s, reason=str(error))
        pause_s = planned_s * self._randomness.uniform(1 - _JITTER, 1 + _JITTER)
        self._progress.waited(pause_s, error)
        with tracing.span("wait", attributes={"order.attempt": self.order.attempt, "error.type": type(error).__name__}):
            await self._clock.sleep(pause_s)

    def _ending(self, verdict: Verdict) -> Move:
        """Return the move that ends the attempt: into the next one, or for good."""
        order = self.order
        data: dict[str, Any] = {"errorCode": verdict.code, "errorReason": verdict.reason}
        if not verdict.retryable or order.attempt >= self._policy.max_attempts:
            return from_order(
                order,
                Status.FAILED,
                error_code=verdict.code,
                error_reason=verdict.reason,
                outcome=verdict.code,
                outcome_reason=verdict.reason,
                data=data,
            )
        delay_ms = self._policy.backoff_ms(order.attempt, self._randomness)
        next_at = self._clock.now() + timedelta(milliseconds=delay_ms)
        data |= {"failedAttempt": order.attempt, "nextAttemptAt": timestamp(next_at)}
        return from_order(
            order,
            Status.ROUTING,
            delay_ms=delay_ms,
            outcome=verdict.code,
            outcome_reason=verdict.reason,
            data=data,
        )

    async def _commit(self, move: Move) -> None:
        """Commit the move, or what can be stored in its place when PostgreSQL refuses it, and go on from there.

        When everything is refused the order stays as it is stored and is tried again a little later.
        """
        refusal: StoreRefused | None = None
        for candidate in chain((move,), self._instead_of(move)):
            if self._lease_is_doubtful() and not await self._still_as_known():
                return
            try:
                moved = await self._store.move(candidate)
            except StoreRefused as error:
                log.error("order.transition_refused", target=candidate.target, reason=str(error))
                refusal = error
            else:
                await self._go_on(candidate, moved)
                return
        if refusal is not None:
            await self._wait(refusal, _LONGEST_WAIT_FOR_STORE_S)

    def _instead_of(self, move: Move) -> Iterator[Move]:
        """Yield what may be stored when the move is refused: the attempt's end, twice, then that without its outcome.

        An attempt always ends with its number: the next one must not meet its row. Its outcome, which may be what is
        refused, only tells people of it.
        """
        if move.outcome is None and self.order.status in RETRYABLE_FROM - {Status.SUBMITTED}:
            move = self._ending(UnexpectedError(f"the order's transition to {move.target} could not be stored"))
            yield move
        if move.outcome is not None:
            yield move
            yield replace(move, outcome=None, outcome_reason=None)

    async def _go_on(self, move: Move, moved: Moved | None) -> None:
        """Go on from a move that was sent; if it did not come back, from what is stored."""
        began = self.order.state_since
        if moved is not None:
            self._apply(move, moved)
        else:
            await self._reread()
            if not self._landed(move):
                return
            moved = Moved(self.order.version, self.order.updated_at, self.order.status)
        self._announce(move, moved, began)
        if move.delay_ms is not None and moved.status is move.target:
            with tracing.span("retry backoff", attributes={"order.attempt": self.order.attempt}):
                await self._clock.sleep(move.delay_ms / 1000)

    def _landed(self, move: Move) -> bool:
        """Tell whether the stored order is what the move makes of it: then only the reply was lost.

        An owner's request to cancel also leaves a submitted order submitted, one version on.
        """
        order = self.order
        if order.version != move.version + 1:
            return False
        if move.note is not None:
            return order.landed_at is not None
        cancelled_instead = order.status is Status.CANCELLED and order.cancel_requested_at is not None
        return cancelled_instead or (order.status, order.attempt) == (move.target, move.attempt)

    async def _still_as_known(self) -> bool:
        """Read the order again, because others may have taken it; if it moved on, go on from there."""
        version = self.order.version
        await self._reread()
        return self.order.version == version

    async def _reread(self) -> None:
        """Go on from the persisted state. Raises OwnershipLost when it is not this lease's any more."""
        stored = await self._store.read_own(self.order.id)
        if stored is None or stored.lease_epoch != self.order.lease_epoch:
            raise OwnershipLost
        if stored.version != self.order.version:
            # Whatever this process holds in memory was perhaps never committed: only stored bytes are sent.
            self._swap = None
            self._enter()
        self.order = stored

    def _enter(self) -> None:
        self._waits = 0
        self._state_entered = self._clock.monotonic()

    def _apply(self, move: Move, moved: Moved) -> None:
        """Bring the order in memory to what the move stored."""
        order = self.order
        order.version, order.updated_at = moved.version, moved.at
        if move.note is not None:
            order.landed_at = moved.at if move.note is EventType.LANDED else order.landed_at
            return
        retrying = moved.status is Status.ROUTING
        order.status = moved.status
        order.attempt = move.attempt if moved.status is move.target else move.attempt_left
        order.state_since = moved.at
        order.venue = None if retrying else move.venue or order.venue
        order.pool = None if retrying else move.pool or order.pool
        order.effective_min_amount_out = order.effective_min_amount_out or move.effective_min_amount_out
        self._swap = move.swap
        self._enter()

    def _announce(self, move: Move, moved: Moved, began: datetime) -> None:
        """Tell the world of a move that is stored, from a state that began then."""
        measurements.record_move(move, moved, (moved.at - began).total_seconds())
        self._progress.log_transition(move, moved, (moved.at - began).total_seconds())
        self._events.publish(move.event(moved), self.order.account, self.order.user_wallet)


async def run_in_trace(execution: Execution, woken_by: str | None) -> None:
    """Run the execution in its order's trace: a consumer span, child of the request's, linked to the waking message."""
    order = execution.order
    # Of the execution's own task: every line that is logged in it is about this order.
    structlog.contextvars.bind_contextvars(order_id=str(order.id))
    parent = tracing.TraceContext.parse(order.traceparent)
    link = tracing.TraceContext.parse(woken_by)
    with tracing.span(
        "execute order",
        parent=parent,
        kind=tracing.SpanKind.CONSUMER,
        attributes=_described(order),
        links=[link] if link else [],
    ) as span:
        if order.lease_epoch > 1:
            log.info("order.recovered", status=order.status, attempt=order.attempt, lease_epoch=order.lease_epoch)
        try:
            await execution.run()
        except asyncio.CancelledError:
            log.debug("order.released", status=execution.order.status)
            raise
        finally:
            _mark_outcome(span, execution)


def _described(order: Order) -> dict[str, str | bool | int | float]:
    """Return what the consumer span says of an order when it begins."""
    described: dict[str, str | bool | int | float] = {
        "order.id": str(order.id),
        "order.recovered": order.lease_epoch > 1,
        "order.attempt": order.attempt,
    }
    if order.status is Status.QUEUED:
        described["order.queue_s"] = (order.updated_at - order.state_since).total_seconds()
    return described


def _mark_outcome(span: tracing.Span, execution: Execution) -> None:
    """Have the consumer span tell how the order stands, and why it failed if it did."""
    order = execution.order
    span.set_attribute("order.status", order.status.value)
    if order.status is Status.FAILED:
        code = execution.error_code or "unknown"
        span.set_attribute("error.type", code)
        span.set_attribute("order.error_code", code)
        span.set_status(StatusCode.ERROR, code)
