"""What a node has refused lately: how large a request may be, whether arrays are taken, and how often it may be asked.

Limits are forgotten after a while, so that one refusal, or another node behind the same name, does not slow the worker
down for good: the next larger request shows whether they still hold.
"""

from collections.abc import Sequence
from itertools import accumulate

# A stock validator answers 413 to larger bodies.
MAX_BODY_BYTES = 50 * 1024
MAX_CALLS = 200
REMEMBERED_FOR_S = 60.0

_LEAST_BODY_BYTES = 2 * 1024
_FIRST_INTERVAL_S = 0.05
_LONGEST_INTERVAL_S = 2.0
# The interval shrinks by this with every request that follows another, until a node is asked freely again.
_RELAXATION = 0.97
_COMPLAIN_EVERY_S = 30.0


class NodeLimits:
    """The limits in force for one node. Times are those of the event loop, in seconds."""

    def __init__(self) -> None:
        self.max_body_bytes = MAX_BODY_BYTES
        self.max_calls = MAX_CALLS
        self._forgotten_at = float("inf")
        self._interval_s = 0.0
        self._next_at = 0.0
        self._complain_at = float("-inf")

    def pause_s(self, now: float) -> float:
        """Return how long to wait before the next request."""
        return max(0.0, self._next_at - now)

    def take(self, sizes: Sequence[int], now: float) -> int:
        """Return how many of the calls of these sizes (bytes) go into the request that is sent now: at least one."""
        if now >= self._forgotten_at:
            self.max_body_bytes, self.max_calls, self._forgotten_at = MAX_BODY_BYTES, MAX_CALLS, float("inf")
        if self._interval_s:
            self._next_at = max(self._next_at, now + self._interval_s)
            self._interval_s = self._interval_s * _RELAXATION if self._interval_s > _FIRST_INTERVAL_S / 2 else 0.0
        # Brackets and commas count.
        bodies = accumulate((size + 1 for size in sizes[: self.max_calls]), initial=1)
        fitting = sum(body <= self.max_body_bytes for body in bodies) - 1
        return max(1, fitting)

    def too_large(self, body_bytes: int, calls: int, now: float) -> None:
        """Learn that a request of so many bytes and calls is too large, whichever of the two it was."""
        self.max_body_bytes = max(_LEAST_BODY_BYTES, min(self.max_body_bytes, body_bytes // 2))
        self.max_calls = max(1, min(self.max_calls, calls // 2))
        self._forgotten_at = now + REMEMBERED_FOR_S

    def no_arrays(self, now: float) -> None:
        """Learn that the node takes single calls only."""
        self.max_calls = 1
        self._forgotten_at = now + REMEMBERED_FOR_S

    def too_many(self, retry_after_s: float | None, now: float) -> bool:
        """Learn that requests come too often; tell whether it is time to say so."""
        self._interval_s = min(max(self._interval_s * 2, _FIRST_INTERVAL_S), _LONGEST_INTERVAL_S)
        self._next_at = max(self._next_at, now + max(self._interval_s, retry_after_s or 0.0))
        return self.complain(now)

    def complain(self, now: float) -> bool:
        """Tell whether it is time for a log line about refusals: many of them are one event."""
        if now < self._complain_at:
            return False
        self._complain_at = now + _COMPLAIN_EVERY_S
        return True
