"""A circuit per venue: one that is dead is left out at once instead of costing every order a time-out."""

import logging
from enum import Enum, auto

from engine_common.errors import NoLiquidity, Unreachable
from engine_worker import measurements
from engine_worker.ports import Clock, Quote, QuoteRequest, Venue

log = logging.getLogger(__name__)

# Answers in a row that must be missing: single ones are what venues do.
FAILURES_TO_OPEN = 5
# Seconds until one order's question tries the venue again: doubled by each try that fails. The longest is much shorter
# than any patience, so that no order fails because nobody looked whether the venue is back.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 5.0


class _State(Enum):
    CLOSED = auto()  # everybody asks
    OPEN = auto()  # nobody asks until the pause is over
    TRYING = auto()  # one is asking, for all


class GuardedVenue:
    """A venue behind its circuit, which opens when the venue gives no answer and closes by itself when it does."""

    def __init__(self, venue: Venue, clock: Clock) -> None:
        self.name = venue.name
        self.program_id = venue.program_id
        self._venue = venue
        self._clock = clock
        self._state = _State.CLOSED
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._try_at = 0.0

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
            if trying:
                self._state = _State.OPEN
            raise
        self._answered()
        return quote

    def _admit(self) -> bool:
        """Let the question through, and tell whether it is the one that tries the venue. Raises Unreachable."""
        if self._state is _State.CLOSED:
            return False
        if self._state is _State.TRYING or self._clock.monotonic() < self._try_at:
            raise Unreachable("left out: it has not answered lately, and is tried again soon")
        self._state = _State.TRYING
        return True

    def _answered(self) -> None:
        self._failures = 0
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._pause_s = FIRST_PAUSE_S
        measurements.record_circuit(self.name, change=-1)
        log.info("%s answers again and takes part", self.name)

    def _failed(self, error: Unreachable, *, trying: bool) -> None:
        if trying:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._open()
            return
        self._failures += 1
        if self._state is _State.CLOSED and self._failures >= FAILURES_TO_OPEN:
            self._open()
            measurements.record_circuit(self.name, change=1)
            log.warning("%s does not answer, orders go on without it until it does: %s", self.name, error)

    def _open(self) -> None:
        self._state = _State.OPEN
        self._try_at = self._clock.monotonic() + self._pause_s
