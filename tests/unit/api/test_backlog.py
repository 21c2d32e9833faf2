"""The count behind the bound: whatever goes wrong with it, it goes on, and the bound never sticks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from engine_api.backlog import Backlog
from engine_api.problems import Refusal
from support.virtual_time import in_virtual_time

BOUND = 10


class Database:
    """Counts what the test says, or fails as it says."""

    def __init__(self) -> None:
        self.unfinished = 0
        self.failure: Exception | None = None

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Any]:
        yield self

    async def execute(self, *_: Any, **__: Any) -> "Database":
        if self.failure:
            raise self.failure
        return self

    async def fetchone(self) -> tuple[int]:
        return (self.unfinished,)


def admit(backlog: Backlog, orders: int) -> None:
    for _ in range(orders):
        with backlog.admitting():
            pass


@pytest.mark.parametrize(
    "failure", [psycopg.errors.UndefinedTable("the api was there before the migration"), RuntimeError("a bug")]
)
@in_virtual_time
async def test_a_count_that_failed_is_followed_by_the_next(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it every order taken since the start would count for ever, and the bound would stick."""
    database = Database()
    database.failure = failure
    backlog = Backlog(database.lend, BOUND)
    running = asyncio.create_task(backlog.run())
    await asyncio.sleep(2.5)
    assert "was not counted" in caplog.text
    database.failure = None
    admit(backlog, BOUND)
    assert backlog.full
    await asyncio.sleep(2.5)
    admit(backlog, BOUND)
    running.cancel()


@in_virtual_time
async def test_an_order_that_is_being_stored_counts_until_a_count_has_certainly_seen_it() -> None:
    """A count that began before it was stored may have missed it."""
    database = Database()
    backlog = Backlog(database.lend, BOUND)
    with backlog.admitting():
        await backlog.count()
        admit(backlog, BOUND - 1)
        with pytest.raises(Refusal):
            backlog.check()
    await backlog.count()
    backlog.check()


@in_virtual_time
async def test_what_operators_see_is_what_the_bound_is_held_against() -> None:
    """The last count, and what this process has taken since."""
    database = Database()
    backlog = Backlog(database.lend, BOUND)
    database.unfinished = BOUND - 2
    await backlog.count()
    admit(backlog, 1)
    assert (backlog.unfinished, backlog.bound, backlog.full) == (BOUND - 1, BOUND, False)
    admit(backlog, 1)
    assert (backlog.unfinished, backlog.full) == (BOUND, True)
