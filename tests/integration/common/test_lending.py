"""Lending connections: whatever becomes of those who borrow, the pool gets back what it lent."""

import asyncio
import contextlib

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from engine_common.store.pool import answering, open_pool
from support.waiting import eventually


async def test_a_borrower_that_is_cancelled_while_it_gives_back_gives_back(shared_database_url: str) -> None:
    """A client may leave at any moment, this one included: hundreds of them must not use up the pool."""
    async with open_pool(shared_database_url, size=1, name="test") as pool:
        await pool.wait()

        async def read() -> None:
            async with answering(pool) as connection:
                await connection.execute("SELECT 1")
                await pool._lock.acquire()  # as another that lends or gives back in this moment

        reading = asyncio.create_task(read())
        await eventually(lambda: pool._lock._waiters)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        pool._lock.release()
        async with asyncio.timeout(30), answering(pool) as connection:
            await connection.execute("SELECT 1")


async def test_waiting_for_a_connection_takes_from_the_time_for_the_answer(shared_database_url: str) -> None:
    """A request waits as long as it was told to, not once for each."""
    async with open_pool(shared_database_url, size=1, name="test") as pool:
        await pool.wait()
        lent = await pool.getconn()

        async def read() -> None:
            async with answering(pool, within_s=0.1, lent_within_s=60) as connection:
                await connection.execute("SELECT pg_sleep(3)")

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        assert not reading.done()
        await pool.putconn(lent)
        with pytest.raises(psycopg.OperationalError):
            await reading


async def test_who_cannot_be_lent_a_connection_in_time_is_told(shared_database_url: str) -> None:
    """Also sooner than the pool itself would say so."""
    async with open_pool(shared_database_url, size=1, name="test") as pool:
        await pool.wait()
        async with answering(pool):
            with pytest.raises(PoolTimeout, match=r"after 0\.[0-9]+ sec"):
                async with answering(pool, lent_within_s=0.1):
                    pass
