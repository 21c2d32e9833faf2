"""PostgreSQL that hangs or died unseen: nobody waits for it beyond the deadline, and nobody gets a dead connection."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from engine_common.store import door
from engine_common.store.door import Move, Moved, from_order
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import Connection, Pool, answering, open_pool
from engine_common.transitions import Status
from support.orders import create, new_order
from support.stalling import StallingProxy, stalling_proxy

WITHIN_S = 0.3


@pytest.fixture
async def stalling(shared_database_url: str) -> AsyncIterator[tuple[StallingProxy, Pool]]:
    async with stalling_proxy(shared_database_url) as (proxy, url), open_pool(url, size=2, name="stalling") as pool:
        await pool.wait()
        yield proxy, pool
        proxy.flow()


async def test_an_answer_that_does_not_come_in_time_is_trouble(stalling: tuple[StallingProxy, Pool]) -> None:
    """The connection is closed under whoever waits, instead of being waited for until the kernel gives up."""
    proxy, pool = stalling
    proxy.stall()
    with pytest.raises(psycopg.OperationalError):
        async with answering(pool, within_s=WITHIN_S) as connection:
            await connection.execute("SELECT 1")


async def test_a_connection_that_was_hung_up_keeps_its_descriptor_until_it_is_let_go(
    stalling: tuple[StallingProxy, Pool],
) -> None:
    """Its user's event loop still watches the number: another connection must not get it meanwhile."""
    _, pool = stalling
    async with answering(pool, within_s=0) as connection:
        descriptor = connection.pgconn.socket
        await asyncio.sleep(0.05)
        with socket.socket() as other:
            assert other.fileno() != descriptor
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
    async with answering(pool) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_a_flush_to_a_peer_that_hangs_is_repeated_over_another_connection(
    stalling: tuple[StallingProxy, Pool],
) -> None:
    """It may have been carried out: then the repetition moves nothing, and the order is read again."""
    proxy, pool = stalling
    async with answering(pool) as connection:
        (order,) = await create(connection, new_order())
    attempts: list[int] = []

    async def write(connection: Connection, moves: Sequence[Move]) -> list[Moved | None]:
        attempts.append(len(moves))
        if len(attempts) == 2:
            proxy.flow()
        return await door.move(connection, moves)

    moves: GroupCommit[Move, Moved | None] = GroupCommit(
        "moves", lambda: answering(pool, within_s=WITHIN_S), write, key=lambda move: move.order_id
    )
    proxy.stall()
    await moves.submit(from_order(order, Status.ROUTING))
    async with answering(pool) as connection:
        cursor = await connection.execute("SELECT version, status FROM orders WHERE id = %s", (order.id,))
        assert await cursor.fetchone() == (2, "routing")
        cursor = await connection.execute("SELECT count(*) FROM order_events WHERE order_id = %s", (order.id,))
        assert await cursor.fetchone() == (2,)
    assert len(attempts) >= 2


async def test_connections_that_died_while_idle_are_not_lent(shared_pool: Pool, shared_database_url: str) -> None:
    """After a restart of the server not even the first callers fail."""
    async with open_pool(shared_database_url, size=3, name="dies-idle") as pool:
        await pool.wait()
        async with shared_pool.connection() as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dies-idle'"
            )
        await asyncio.sleep(0.2)
        for _ in range(6):
            async with answering(pool) as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
