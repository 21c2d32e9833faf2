"""Several workers after the same orders at the same moment: every order has one owner."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import psycopg
import pytest

from engine_common.orders import Order
from engine_common.store import claims
from engine_common.store.pool import Connection, Pool, open_pool
from engine_common.transitions import Status
from support.orders import insert_row, new_id, read

LEASE_S = 5.0
WORKERS = 4


@pytest.fixture
async def many(database_url: str) -> AsyncIterator[Pool]:
    async with open_pool(database_url, size=WORKERS + 1, name="workers") as pool:
        yield pool


async def living_workers(connection: Connection) -> list[UUID]:
    workers = [new_id() for _ in range(WORKERS)]
    for worker in workers:
        await claims.beat(connection, worker, "host")
    return workers


async def test_workers_claiming_the_same_ids_get_disjoint_sets(many: Pool) -> None:
    """All of them taken, each once, at epoch 1: nobody steals what a neighbour took a moment ago."""
    async with many.connection() as connection:
        workers = await living_workers(connection)
        for _ in range(15):
            ids = [await insert_row(connection) for _ in range(30)]

            async def take(worker: UUID, wanted: Sequence[UUID]) -> list[Order]:
                taken: list[Order] = []
                async with many.connection() as own:
                    for i in range(0, len(wanted), 5):
                        claimed = await claims.claim(own, worker, wanted[i : i + 5], LEASE_S)
                        taken += [one.order for one in claimed]
                return taken

            wanted = [ids, ids[::-1], ids[10:] + ids[:10], ids[20:] + ids[:20]]
            taken = await asyncio.gather(*(take(*each) for each in zip(workers, wanted, strict=True)))
            owners = Counter(order.id for each in taken for order in each)
            assert owners == Counter(ids)
            assert {order.lease_epoch for each in taken for order in each} == {1}


async def test_workers_sweeping_at_once_share_what_there_is(many: Pool) -> None:
    """Locked rows are skipped, so nobody waits and nobody takes twice; what a skip left is taken by the next sweep."""
    async with many.connection() as connection:
        workers = await living_workers(connection)
        ids = [await insert_row(connection, Status.ROUTING, lease_epoch=1) for _ in range(80)]

        async def sweep(worker: UUID) -> list[Order]:
            taken: list[Order] = []
            async with many.connection() as own:
                for _ in range(6):
                    taken += [one.order for one in await claims.sweep(own, worker, 20, LEASE_S)]
            return taken

        taken = await asyncio.gather(*(sweep(worker) for worker in workers))
    owners = Counter(order.id for each in taken for order in each)
    assert owners == Counter(ids)
    assert {order.lease_epoch for each in taken for order in each} == {2}


async def test_a_claim_does_not_wait_for_a_row_that_somebody_writes(many: Pool, database_url: str) -> None:
    """It skips the row: whoever writes it either finishes the order or leaves it to the next sweep."""
    async with many.connection() as connection, await psycopg.AsyncConnection.connect(database_url) as other:
        busy, free = await insert_row(connection), await insert_row(connection)
        await other.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (busy,))
        me = (await living_workers(connection))[0]
        assert [one.order.id for one in await claims.claim(connection, me, [busy, free], LEASE_S)] == [free]
        await other.rollback()
        assert (await read(connection, busy)).lease_epoch == 0
