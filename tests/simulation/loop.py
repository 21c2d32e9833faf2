"""An event loop without operating system: time leaps to the next timer, so that a schedule costs only its callbacks."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class NothingWillHappen(BaseException):
    """Every task waits and no timer runs."""


class _Leap:
    """Stands where a loop has its selector: nothing ever comes from outside, waiting is leaping."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise NothingWillHappen
        self.now += timeout
        return ()


class SimulatedLoop(asyncio.BaseEventLoop):
    """Has no sockets, threads or signals: `support.virtual_time` has the loop for tests that need those."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Leap()
        self._kept: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._keep)

    def _keep(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any) -> Any:
        """Keep every task: what the dead wait for has no other owner, and the garbage collector must not wake them."""
        task = asyncio.Task(coroutine, loop=loop, **named)
        self._kept.append(task)
        return task

    def end_tasks(self) -> None:
        """Cancel what is left; more than once, because what a task does while it ends may begin another one."""
        while left := [task for task in self._kept if not task.done()]:
            for task in left:
                task.cancel()
            self._kept = []
            self.run_until_complete(asyncio.wait(left))

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, events: tuple[()]) -> None:
        """Do nothing: there are no events from outside."""


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine from time 0 and end whatever it leaves behind."""
    loop = SimulatedLoop()
    # What goes wrong in tasks that nobody waits for is the oracle's business, not the standard error's.
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.end_tasks()
        loop.close()
