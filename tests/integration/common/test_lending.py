"""Lending connections: whatever becomes of those who borrow, the pool gets back what it lent."""

import asyncio
import contextlib

from engine_common.store import statements
from engine_common.store.pool import answering, open_pool
from support.waiting import eventually


async def test_a_borrower_that_is_cancelled_while_it_gives_back_gives_back(shared_database_url: str) -> None:
    """A client may leave at any moment, this one included: hundreds of them must not use up the pool."""
    async with open_pool(shared_database_url, size=1, name="test") as pool:
        await pool.wait()

        async def read() -> None:
            async with answering(pool) as connection:
                await connection.execute(statements.PING)
                await pool._lock.acquire()  # as another that lends or gives back in this moment

        reading = asyncio.create_task(read())
        await eventually(lambda: pool._lock._waiters)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        pool._lock.release()
        async with asyncio.timeout(30), answering(pool) as connection:
            await connection.execute(statements.PING)
