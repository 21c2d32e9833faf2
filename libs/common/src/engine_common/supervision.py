"""Background tasks that run for as long as their process: one that ends by itself ends the process.

A task that dies in silence leaves a process that looks alive: sockets hear nothing more, orders are never looked for.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from engine_common.telemetry.logs import log


def supervise(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the work beside everything else until it is cancelled.

    When it raises, or returns although it should go on, a log line names the task and the process ends with code 1.
    """
    return asyncio.get_running_loop().create_task(supervised(work, name), name=name)


async def supervised(work: Coroutine[Any, Any, None], name: str, *, until: Callable[[], bool] = lambda: False) -> None:
    """Do the work, which may return only once `until` is true; otherwise end the process as `supervise` says."""
    try:
        await work
    except Exception:  # noqa: BLE001 - any error has ended the task
        log.critical("background_task.failed", task=name, action="the process ends, to be started again", exc_info=True)
    else:
        if until():
            return
        log.critical("background_task.ended", task=name, action="the process ends, to be started again")
    sys.exit(1)
