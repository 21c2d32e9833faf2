"""A circuit per venue: a dead one is left out while another answers, instead of costing every order a time-out."""

import logging
from collections.abc import Sequence
from enum import Enum, auto

from engine_common.errors import NoLiquidity, Unreachable
from engine_worker import measurements
from engine_worker.ports import Clock, Quote, QuoteRequest, Venue

log = logging.getLogger(__name__)

# Answers in a row that must be missing: single ones are what venues do.
FAILURES_TO_OPEN = 5
# Seconds until one order's question tries the venue again: doubled by each try that fails, up to the longest.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 5.0


class _State(Enum):
    CLOSED = auto()  # everybody asks
    OPEN = auto()  # nobody asks until the pause is over
    TRYING = auto()  # one is asking, for all


class GuardedVenue:
    """A venue behind its circuit, which opens when the venue gives no answer and closes by itself when it does.

    It is left out only while another takes part: with all of them dead every order asks, so that none waits, or fails,
    because nobody has looked yet whether they are back. A venue that says when to come back is not asked before.
    """

    def __init__(self, venue: Venue, clock: Clock) -> None:
        self.name = venue.name
        self.program_id = venue.program_id
        self.others: Sequence[GuardedVenue] = ()
        self._venue = venue
        self._clock = clock
        self._state = _State.CLOSED
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._try_at = 0.0
        self._left_alone_until = float("-inf")

    @property
    def open(self) -> bool:
        """Whether the venue is left out."""
        return self._state is not _State.CLOSED

    async def quote(self, request: QuoteRequest) -> Quote:
        """Return the venue's offer. Raises NoLiquidity, or Unreachable: the venue's, or because the circuit is open."""
        trying = self._admit()
        try:
            quote = await self._venue.quote(request)
        except Unreachable as error:
            self._failed(error, trying=trying)
            raise
        except NoLiquidity:
            self._answered()
            raise
        except BaseException:
            # Neither an answer nor the lack of one: the order was let go, or there is a bug of ours.
            if trying and self._state is _State.TRYING:
                self._state = _State.OPEN
            raise
        self._answered()
        return quote

    def _admit(self) -> bool:
        """Let the question through, and tell whether it is the one that tries the venue. Raises Unreachable."""
        left_s = self._left_alone_until - self._clock.monotonic()
        if left_s > 0:
            raise Unreachable(f"asked to be left alone for another {left_s:.0f} s (Retry-After)")
        if self._state is _State.CLOSED:
            return False
        if self._state is _State.OPEN and self._clock.monotonic() >= self._try_at:
            self._state = _State.TRYING
            return True
        if all(other.open for other in self.others):
            return False
        raise Unreachable("left out: it has not answered lately, and is tried again soon")

    def _answered(self) -> None:
        self._failures = 0
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._pause_s = FIRST_PAUSE_S
        measurements.record_circuit(self.name, change=-1)
        log.info("%s answers again and takes part", self.name)

    def _failed(self, error: Unreachable, *, trying: bool) -> None:
        if error.retry_after_s:
            self._left_alone_until = self._clock.monotonic() + error.retry_after_s
        if self._state is _State.CLOSED:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._leave_out()
                measurements.record_circuit(self.name, change=1)
                log.warning("%s does not answer, orders go on without it until it does: %s", self.name, error)
        elif trying and self._state is _State.TRYING:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._leave_out()

    def _leave_out(self) -> None:
        self._state = _State.OPEN
        self._try_at = self._clock.monotonic() + self._pause_s


def guard(venues: Sequence[Venue], clock: Clock) -> list[GuardedVenue]:
    """Return the venues behind circuits that know of each other."""
    guarded = [GuardedVenue(venue, clock) for venue in venues]
    for each in guarded:
        each.others = [other for other in guarded if other is not each]
    return guarded
