"""Work that goes on in the background of a run, and is waited for at its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any


class Background:
    """Tasks under way; one that fails is a bug of the suite and shown by the loop's exception handler."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_raise_at_once)

    async def ended(self) -> None:
        """Wait until none is left, those included that begin meanwhile."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def abandon(self) -> None:
        """Cancel what is left."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_at_once(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def steadily(rate: float) -> AsyncIterator[int]:
    """Yield 0, 1, 2, … so many times a second without end; what was late is made up for."""
    began = time.monotonic()
    number = 0
    while True:
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield number
        number += 1
