import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from benchmarks.database import Database, first_id_at, made_at, opened

from engine_common.store.pool import Pool
from engine_common.transitions import Status
from support.orders import insert_row, insert_rows, new_id


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


def as_bytes(*ids: object) -> list[bytes]:
    return [str(each).encode() for each in ids]


async def test_unfinished_are_the_orders_to_be_executed(database: Database, pool: Pool) -> None:
    """Pending orders wait for their owner, finished ones for nobody."""
    async with pool.connection() as connection:
        await insert_rows(connection, [Status.PENDING, Status.QUEUED, Status.ROUTING, Status.CONFIRMED, Status.FAILED])
    assert await database.unfinished() == 2


async def test_orders_older_than_the_oldest_unfinished_are_passed_by(database: Database, pool: Pool) -> None:
    """The count costs what is unfinished, not what was."""
    async with pool.connection() as connection:
        await insert_row(connection, Status.QUEUED, id=first_id_at(time.time() + 60))
        assert await database.unfinished() == 1
        await insert_row(connection, Status.QUEUED, id=first_id_at(time.time() + 58))
        assert await database.unfinished() == 2, "ids are nearly in the order of their commits"
        await insert_row(connection, Status.QUEUED, id=first_id_at(time.time() + 40))
        assert await database.unfinished() == 2


async def test_a_window_counts_what_was_confirmed_and_accepted_in_it(database: Database, pool: Pool) -> None:
    """Throughput is what the database says, not what a poll saw."""
    begin = time.time()

    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(begin + seconds, UTC)

    async with pool.connection() as connection:
        await insert_row(connection, Status.CONFIRMED, created_at=at(-1), finished_at=at(1))
        await insert_row(connection, Status.CONFIRMED, created_at=at(1), finished_at=at(9))
        await insert_row(connection, Status.CONFIRMED, created_at=at(1), finished_at=at(11))
        await insert_row(connection, Status.FAILED, created_at=at(2), finished_at=at(3))
    assert await database.window(begin, begin + 10) == (2, 3)


async def test_what_was_accepted_and_is_not_there_is_lost(database: Database, pool: Pool) -> None:
    """So is what got stuck."""
    async with pool.connection() as connection:
        confirmed = await insert_row(connection, Status.CONFIRMED, finished_at=datetime.now(UTC) + timedelta(hours=1))
        failed = await insert_row(connection, Status.FAILED)
        stuck = await insert_row(connection, Status.BUILDING)
        await insert_row(connection, Status.QUEUED)  # somebody else's
    missing = new_id()
    found = await database.compare(as_bytes(confirmed, failed, stuck, missing))
    assert found.by_status == {"confirmed": 1, "failed": 1, "building": 1, "missing": 1}
    assert (found.missing, found.unfinished, found.lost) == (1, 1, 2)
    assert set(found.examples) == {stuck, missing}
    assert found.last_finished_at == pytest.approx(time.time() + 3600, abs=30)


async def test_nothing_accepted_is_nothing_lost(database: Database) -> None:
    """An empty run has an empty answer."""
    found = await database.compare([])
    assert (found.by_status, found.lost, found.last_finished_at) == ({}, 0, 0.0)


async def test_routing_times_are_those_of_the_first_routing(database: Database, pool: Pool) -> None:
    """A retry goes back to routing with an event of another type."""
    statement = (
        "INSERT INTO order_events (order_id, seq, type, status, attempt, at, data) VALUES (%s, %s, %s, %s, 1, %s, '{}')"
    )
    moment = datetime.now(UTC)
    async with pool.connection() as connection:
        order = await insert_row(connection, Status.QUEUED)
        await connection.execute(statement, (order, 2, "status", "routing", moment))
        await connection.execute(statement, (order, 3, "retrying", "routing", moment + timedelta(seconds=1)))
    assert await database.routing_times(as_bytes(order)) == {as_bytes(order)[0]: moment.timestamp()}


async def test_waiting_for_the_end_is_bounded(database: Database, pool: Pool) -> None:
    """A stuck order must not hold the report."""
    assert await database.until_finished(5)
    async with pool.connection() as connection:
        await insert_row(connection, Status.QUEUED)
    assert not await database.until_finished(0.2)


def test_ids_tell_when_they_were_made() -> None:
    """UUIDv7 begins with the time in milliseconds."""
    assert made_at(new_id()) == pytest.approx(time.time(), abs=5)
    assert made_at(first_id_at(1_700_000_000.123)) == pytest.approx(1_700_000_000.123)


async def test_the_footprint_is_that_of_the_tables_with_their_indexes(database: Database, pool: Pool) -> None:
    before = await database.footprint()
    async with pool.connection() as connection:
        await insert_rows(connection, [Status.CONFIRMED] * 50)
    after = await database.footprint()
    assert set(after.tables) == {"orders", "order_events", "attempts"}
    assert after.tables["orders"] > before.tables["orders"] > 0
    assert after.wal_bytes >= before.wal_bytes > 0
