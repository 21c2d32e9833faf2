"""Drives the chain by the event loop's clock: one timer, however many transactions are in flight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockdex.chain import Chain, Turn

# Landings are committed in groups of at most this long.
_GROUP_MS = 10


class Driver:
    """Turns the chain whenever something is due."""

    def __init__(self, chain: Chain, on_failure: Callable[[BaseException], None]) -> None:
        self._chain = chain
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_ms = 0
        self._last_turn_ms = -_GROUP_MS

    def start(self) -> None:
        """Begin; the first block is committed before anything is shown."""
        self._run()

    def stop(self) -> None:
        """Settle no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wake(self) -> None:
        """Look again at what is due next: something was accepted."""
        if self._timer is not None and self._next_turn_ms() < self._wakes_ms:
            self._timer.cancel()
            self._schedule()

    def _run(self) -> None:
        self._last_turn_ms = self._chain.time.now()
        try:
            turn = self._chain.turn()
        except Exception as error:
            # A chain that stands still is worse than a process that ends and is started again.
            self._on_failure(error)
            raise
        if turn is not None:
            turn.committed.add_done_callback(lambda committed: self._show(turn, committed))
        self._schedule()

    def _show(self, turn: Turn, committed: asyncio.Future[None]) -> None:
        if committed.exception() is None:
            self._chain.show(turn)

    def _next_turn_ms(self) -> int:
        return max(self._chain.next_event_ms(), self._last_turn_ms + _GROUP_MS)

    def _schedule(self) -> None:
        self._wakes_ms = self._next_turn_ms()
        delay_ms = self._wakes_ms - self._chain.time.now()
        self._timer = self._loop.call_later(max(delay_ms, 0) / 1000, self._run)
