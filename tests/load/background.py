"""Work that goes on in the background of a run, and is waited for at its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any


class Background:
    """Tasks under way; one that fails is a bug of the suite, and fails whoever waits for their end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def ended(self) -> None:
        """Wait until none is left, those included that begin meanwhile; raise what the first that failed raised."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._failed:
            raise self._failed[0]

    async def abandon(self) -> None:
        """Cancel what is left."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.append(error)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel what would go on for ever; raise what it raised before."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


async def steadily(rate: float) -> AsyncIterator[int]:
    """Yield 0, 1, 2, … so many times a second without end; what was late is made up for."""
    began = time.monotonic()
    number = 0
    while True:
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield number
        number += 1
