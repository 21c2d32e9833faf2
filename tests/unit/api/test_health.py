"""Probes: open to everybody, and cheap however many ask."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from engine_api.health import Health
from support.virtual_time import in_virtual_time


class SlowServer:
    """PostgreSQL and Redis that take a second to answer."""

    def __init__(self) -> None:
        self.asked = 0

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Any]:
        yield self

    async def execute(self, *_: Any) -> Any:
        self.asked += 1
        await asyncio.sleep(1)
        return self

    async def fetchone(self) -> tuple[bool, bool]:
        return True, True


@in_virtual_time
async def test_a_flood_of_probes_asks_once_at_a_time() -> None:
    """Each would take one of the few connections over which orders are stored."""
    server, cache = SlowServer(), SlowServer()
    cache.execute_command = cache.execute  # type: ignore[attr-defined]
    client: Any = cache
    health = Health(server.lend, client)
    answers = await asyncio.gather(*(health.everything() for _ in range(100)), health.postgres())
    assert answers == [{"postgres": "up", "redis": "up"}] * 100 + [{"postgres": "up"}]
    assert (server.asked, cache.asked) == (1, 1)
    await health.everything()
    assert (server.asked, cache.asked) == (2, 2)


class DiedIdle(SlowServer):
    """Redis whose connection died while nobody used it: the next use fails, the one after that gets a new one."""

    async def execute_command(self, *_: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("unable to perform operation on a closed transport")


@in_virtual_time
async def test_a_connection_that_died_while_idle_is_not_taken_for_redis() -> None:
    """It was killed, or Redis was started again since: Redis itself answers."""
    client: Any = DiedIdle()
    assert await Health(SlowServer().lend, client).everything() == {"postgres": "up", "redis": "up"}
