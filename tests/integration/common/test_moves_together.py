"""Moves of many orders in one flush, while PostgreSQL refuses, contends, breaks or loses its answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from engine_common.errors import StoreRefused
from engine_common.orders import Order
from engine_common.store import door, reading
from engine_common.store.door import Move, Moved, from_order
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import Connection, Pool, answering, open_pool
from engine_common.transitions import Status
from support.orders import create, new_order, read, signed_swap
from support.waiting import eventually

Moves = GroupCommit[Move, Moved | None]


class Flushes:
    """Moves through a group commit, as a worker does it, and remembers what was sent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.sent: list[int] = []
        self.moves: Moves = GroupCommit("moves", self._lend, self._write, key=lambda move: move.order_id)

    def _lend(self) -> AbstractAsyncContextManager[Connection]:
        return answering(self._pool)

    async def _write(self, connection: Connection, moves: Sequence[Move]) -> list[Moved | None]:
        self.sent.append(len(moves))
        return await door.move(connection, moves)


@pytest.fixture
def flushes(shared_pool: Pool) -> Flushes:
    return Flushes(shared_pool)


@pytest.fixture
async def other(shared_database_url: str) -> AsyncIterator[Connection]:
    """Open a connection of somebody else."""
    async with await psycopg.AsyncConnection.connect(shared_database_url, autocommit=True) as connection:
        yield connection


async def queued(pool: Pool, count: int) -> list[Order]:
    async with pool.connection() as connection:
        return await create(connection, *(new_order() for _ in range(count)))


async def moved_to_building(pool: Pool, count: int) -> list[Order]:
    orders = await queued(pool, count)
    async with pool.connection() as connection:
        for target, extra in ((Status.ROUTING, {}), (Status.BUILDING, {"effective_min_amount_out": 1})):
            await door.move(connection, [from_order(order, target, **extra) for order in orders])
            orders = [await read(connection, order.id) for order in orders]
    return orders


async def versions_and_events(pool: Pool, orders: Sequence[Order]) -> list[tuple[int, int]]:
    async with pool.connection() as connection:
        return [
            ((await read(connection, order.id)).version, len(await reading.read_events(connection, order.id)))
            for order in orders
        ]


async def test_a_refused_row_is_isolated_and_its_neighbours_commit(shared_pool: Pool, flushes: Flushes) -> None:
    """A taken signature (23505), an amount beyond the column (22003) and a finished attempt (P0001) fail alone."""
    orders = await moved_to_building(shared_pool, 12)
    taken = signed_swap()
    moves = [from_order(order, Status.SUBMITTED, swap=signed_swap()) for order in orders]
    moves[2] = replace(moves[2], swap=taken)
    moves[9] = replace(moves[9], swap=taken)
    moves[5] = replace(moves[5], swap=replace(signed_swap(), last_valid_block_height=2**63))
    async with shared_pool.connection() as connection:
        await connection.execute(
            "INSERT INTO attempts (order_id, attempt, outcome, ended_at) VALUES (%s, 1, 'spent', now())",
            (orders[7].id,),
        )
    moves[7] = from_order(orders[7], Status.FAILED, error_code="no_liquidity", outcome="no_liquidity")
    answers = await asyncio.gather(*(flushes.moves.submit(move) for move in moves), return_exceptions=True)
    refused = {i for i, answer in enumerate(answers) if isinstance(answer, StoreRefused)}
    assert refused in ({2, 5, 7}, {5, 7, 9}), "of two orders with one signature either may have it, and one does"
    assert all(isinstance(answer, Moved) for i, answer in enumerate(answers) if i not in refused)
    assert await versions_and_events(shared_pool, orders) == [(3, 3) if i in refused else (4, 4) for i in range(12)]


async def test_a_locked_row_delays_the_whole_batch_and_loses_nothing(
    shared_pool: Pool, flushes: Flushes, other: Connection
) -> None:
    """Beyond lock_timeout (55P03) the batch is repeated as it was, until the lock is gone."""
    orders = await queued(shared_pool, 3)
    async with other.transaction():
        await other.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (orders[1].id,))
        moving = [asyncio.create_task(flushes.moves.submit(from_order(order, Status.ROUTING))) for order in orders]
        await eventually(lambda: len(flushes.sent) >= 2)
        assert not any(task.done() for task in moving)
    assert all(isinstance(answer, Moved) for answer in await asyncio.gather(*moving))
    assert set(flushes.sent) == {3}
    assert await versions_and_events(shared_pool, orders) == [(2, 2)] * 3


async def test_overlapping_batches_of_two_connections_do_not_deadlock(shared_pool: Pool) -> None:
    """Rows are locked in id order whatever the batch's order is; each order moves once, in one of the two."""
    for _ in range(8):
        orders = await queued(shared_pool, 60)
        moves = [from_order(order, Status.ROUTING) for order in orders]
        async with shared_pool.connection() as one, shared_pool.connection() as two:
            both = await asyncio.gather(door.move(one, moves), door.move(two, moves[::-1]))
        won = [(first is None, second is None) for first, second in zip(both[0], both[1][::-1], strict=True)]
        assert set(won) <= {(True, False), (False, True)}
        assert await versions_and_events(shared_pool, orders) == [(2, 2)] * 60


async def test_a_backend_killed_in_mid_flush_is_made_up_for_without_a_second_event(
    shared_pool: Pool, flushes: Flushes, other: Connection
) -> None:
    """The statement that was waiting for a lock died with its connection: it is repeated, and moves each order once."""
    orders = await queued(shared_pool, 3)
    async with other.transaction():
        await other.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (orders[1].id,))
        moving = [asyncio.create_task(flushes.moves.submit(from_order(order, Status.ROUTING))) for order in orders]
        await kill_whoever_waits(other)
    assert all(isinstance(answer, Moved) for answer in await asyncio.gather(*moving))
    assert len(flushes.sent) >= 2
    assert await versions_and_events(shared_pool, orders) == [(2, 2)] * 3


async def test_a_lost_reply_is_unknown_and_the_order_is_read_again(shared_pool: Pool) -> None:
    """The commit landed and nobody heard: the repeated flush moves nothing, and the stored state tells."""
    (order,) = await queued(shared_pool, 1)
    lost = 0

    async def write_and_lose_the_reply(connection: Connection, moves: Sequence[Move]) -> list[Moved | None]:
        nonlocal lost
        answers = await door.move(connection, moves)
        if not lost:
            lost += 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answers

    moves: Moves = GroupCommit(
        "moves", lambda: answering(shared_pool), write_and_lose_the_reply, key=lambda move: move.order_id
    )
    assert await moves.submit(from_order(order, Status.ROUTING)) is None
    assert await versions_and_events(shared_pool, [order]) == [(2, 2)]
    async with shared_pool.connection() as connection:
        assert (await read(connection, order.id)).status is Status.ROUTING


async def test_the_pool_replaces_a_connection_that_was_cut(shared_database_url: str, other: Connection) -> None:
    """After every connection was killed the next flush finds new ones by itself."""
    async with open_pool(shared_database_url, size=2, name="to-be-cut") as pool:
        orders = await queued(pool, 5)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to-be-cut'"
        )
        moves = Flushes(pool).moves
        answers = await asyncio.gather(*(moves.submit(from_order(order, Status.ROUTING)) for order in orders))
        assert all(isinstance(answer, Moved) for answer in answers)


async def test_a_connection_has_every_time_out_that_keeps_a_stalled_peer_from_holding_anything(
    shared_pool: Pool,
) -> None:
    """Nobody, not even a process stopped in the middle, holds a lock or a transaction for long."""
    expected: dict[str, str] = {
        "statement_timeout": "5s",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "2s",
        "enable_seqscan": "off",
        "TimeZone": "UTC",
        "synchronous_commit": "on",
    }
    async with shared_pool.connection() as connection:
        assert connection.autocommit
        found = {name: await shown(connection, name) for name in expected}
        assert found == expected
        assert connection.info.get_parameters()["tcp_user_timeout"] == "5000"


async def shown(connection: Connection, name: str) -> Any:
    row = await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
    return None if row is None else row[0]


async def kill_whoever_waits(connection: Connection) -> None:
    """Kill the backend that waits for a lock which this connection holds."""

    async def killed() -> list[Any]:
        cursor = await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return await cursor.fetchall()

    await eventually(killed)
