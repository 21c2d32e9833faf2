"""The log lines of an order's execution: what became of it, and where its time went."""

from datetime import datetime
from typing import Any

from engine_common.orders import EventType, Order
from engine_common.store.door import Move, Moved
from engine_common.telemetry.logs import log
from engine_common.transitions import TERMINAL, Status


class Progress:
    """Adds up how long an order stays in each state, and logs its submission, its retries and its end.

    The times are those of the transitions that this worker committed. `order_id` and `trace_id` come from the context.
    """

    def __init__(self, order: Order) -> None:
        self.error_code = order.error_code
        self._created_at = order.created_at
        self._attempt = order.attempt
        self._state_s: dict[Status, float] = {}
        self._backoff_s = 0.0
        self._wait_s = 0.0
        self._last_wait: str | None = None

    def waited(self, pause_s: float, error: Exception) -> None:
        """Add a pause because a venue, the node or PostgreSQL did not answer or refused."""
        self._wait_s += pause_s
        self._last_wait = str(error)

    def fields(self) -> dict[str, Any]:
        """Return the attempt and the durations, in seconds; pauses are a part of the states that they were spent in."""
        fields: dict[str, Any] = {
            "attempt": self._attempt,
            "state_s": {state.value: round(spent, 3) for state, spent in self._state_s.items()},
        }
        if self._backoff_s:
            fields["retry_backoff_s"] = round(self._backoff_s, 3)
        if self._wait_s:
            fields |= {"wait_s": round(self._wait_s, 3), "last_wait_reason": self._last_wait}
        return fields

    def log_transition(self, move: Move, moved: Moved, state_s: float) -> None:
        """Log a committed transition, if it is one that operators look for."""
        if move.note is not None:
            return
        self._state_s[move.source] = self._state_s.get(move.source, 0.0) + state_s
        if moved.status in TERMINAL:
            self._log_end(move, moved)
        elif move.event_type is EventType.RETRYING:
            self._log_retry(move)
        elif moved.status is Status.SUBMITTED:
            log.debug("order.submitted", venue=move.venue, attempt=self._attempt)

    def _log_end(self, move: Move, moved: Moved) -> None:
        reason: dict[str, Any] = {}
        if moved.status is Status.FAILED:
            self.error_code = move.error_code
            reason = {"error_code": move.error_code, "error_reason": move.error_reason}
        log.info(f"order.{moved.status}", **reason, total_s=self._total_s(moved.at), **self.fields())

    def _log_retry(self, move: Move) -> None:
        delay_s = (move.delay_ms or 0) / 1000
        self._backoff_s += delay_s
        log.info(
            "order.retrying",
            source=move.source,
            error_code=move.outcome,
            error_reason=move.outcome_reason,
            delay_s=delay_s,
            **self.fields(),
        )
        self._attempt = move.attempt

    def _total_s(self, at: datetime) -> float:
        return round((at - self._created_at).total_seconds(), 3)
