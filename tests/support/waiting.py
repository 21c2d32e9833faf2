"""Waiting for what other processes and servers do, with patience for a busy machine."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.02


async def eventually(look: Callable[[], Awaitable[Found] | Found], within_s: float = PATIENCE_S) -> Found:
    """Look again and again until something true is found, and return it; AssertionError when it never is."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        found = look()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(_LOOK_EVERY_S)
