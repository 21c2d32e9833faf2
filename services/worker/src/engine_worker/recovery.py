"""The heartbeat by which this process keeps its orders, and the watch over orders that nobody keeps."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg
from psycopg_pool import PoolTimeout

from engine_common.errors import StoreError
from engine_worker.ports import Clock

log = logging.getLogger(__name__)

BEAT_EVERY_S = 1.0
WATCH_EVERY_S = 1.0
# After an outage of the database every survivor must have beaten before anybody judges.
BEATS_BEFORE_SWEEP = 2


class Heartbeat:
    """Beats once a second from the event loop, so that a hung loop is seen by others."""

    def __init__(self, beat: Callable[[], Awaitable[None]], clock: Clock, lease_s: float) -> None:
        self._beat = beat
        self._clock = clock
        self._lease_s = lease_s
        self._last = float("-inf")
        self._in_a_row = 0

    @property
    def doubtful(self) -> bool:
        """Whether the last beat is older than the lease: others may have taken this worker's orders."""
        return self._clock.monotonic() - self._last > self._lease_s

    @property
    def may_judge(self) -> bool:
        """Whether this worker has been heard long enough to declare others dead."""
        return self._in_a_row >= BEATS_BEFORE_SWEEP and not self.doubtful

    async def beat(self) -> None:
        """Beat once. A failure is logged: the lease runs out by itself."""
        began = self._clock.monotonic()
        try:
            await self._beat()
        except (psycopg.Error, PoolTimeout, OSError) as error:
            self._in_a_row = 0
            log.warning("the heartbeat failed: %s", str(error).strip() or type(error).__name__)
        except Exception:
            self._in_a_row = 0
            log.exception("the heartbeat failed in a way nobody foresaw, and goes on")
        else:
            # Counted from before the statement: the database's time lies between the two.
            missed = began - self._last > self._lease_s
            self._last = began
            self._in_a_row = 1 if missed else self._in_a_row + 1

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await self.beat()
            await self._clock.sleep(BEAT_EVERY_S)


async def watch(
    heartbeat: Heartbeat, compare: Callable[[], Awaitable[None]], sweep: Callable[[], Awaitable[None]], clock: Clock
) -> None:
    """Once a second compare what is owned with what is carried, and take over what nobody executes; for ever."""
    while True:
        try:
            if heartbeat.may_judge:
                await compare()
            # Asked again: comparing may have lasted through an outage.
            if heartbeat.may_judge:
                await sweep()
        except (psycopg.Error, PoolTimeout, OSError, StoreError) as error:
            log.warning("looking for orders to recover failed: %s", str(error).strip() or type(error).__name__)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("looking for orders to recover failed")
        await clock.sleep(WATCH_EVERY_S)
