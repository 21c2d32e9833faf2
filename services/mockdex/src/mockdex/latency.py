"""Latency: what is due at about the same time happens together, for one wake-up of the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_S = 0.005


class Latency:
    """Calls back after delays, at whole ticks of 5 ms: at a thousand quotes a second several share a wake-up."""

    def __init__(self) -> None:
        self._due: dict[int, list[Callable[[], None]]] = {}

    def after(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call back when the delay has passed, at most a tick later."""
        loop = asyncio.get_running_loop()
        tick = int((loop.time() + delay_ms / 1000) / _TICK_S) + 1
        waiting = self._due.get(tick)
        if waiting is not None:
            waiting.append(callback)
            return
        self._due[tick] = [callback]
        loop.call_at(tick * _TICK_S, self._run, tick)

    def _run(self, tick: int) -> None:
        loop = asyncio.get_running_loop()
        for callback in self._due.pop(tick):
            loop.call_soon(callback)  # not called here: one that fails must not take the others along
