"""Redis is away: everything goes on, from PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from redis import Redis

from engine_common import live
from engine_common.store.pool import Pool
from integration.api import outages
from integration.api.outages import Server
from integration.api.running_api import RunningApi, running_api
from integration.api.test_wallet_stream import by_order
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.waiting import eventually


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """Run a Valkey of the test's own."""
    server = outages.valkey(tmp_path)
    server.up()
    yield server
    server.down()


@pytest.fixture
async def publishing(shared_pool: Pool, valkey: Server) -> AsyncIterator[WorkerDouble]:
    """Move orders, and publish as long as the test's Valkey is there."""
    publisher = live.Publisher(live.connect(valkey.url))
    yield WorkerDouble(shared_pool, publisher)
    await publisher.close()


@pytest.fixture
async def api(shared_database_url: str, valkey: Server) -> AsyncIterator[RunningApi]:
    """Serve an api that uses the test's Valkey."""
    async with running_api(shared_database_url, valkey.url) as running:
        yield running


async def test_sockets_live_through_an_outage_without_missing_an_event(
    api: RunningApi, publishing: WorkerDouble, valkey: Server, wallet: str
) -> None:
    """What happens before, while and after Redis is away, on the order's socket and on the wallet's."""
    order_id = await api.place(userWallet=wallet)
    other = await api.place("/api/orders", userWallet=wallet)
    async with api.listening(f"/ws/orders/{order_id}") as ear, api.listening(f"/ws?wallet={wallet}") as all_ears:
        await ear.hear(1)
        await all_ears.hear(2)
        await publishing.move(order_id, TO_CONFIRMED[0])
        await ear.hear(1)
        await asyncio.to_thread(valkey.down)
        await publishing.move(order_id, *TO_CONFIRMED[1:3])
        await api.post(f"/api/orders/{other}/execute")
        new = await api.place(userWallet=wallet)
        await ear.hear(2)
        await all_ears.hear(1 + 2 + 1 + 1)
        await asyncio.to_thread(valkey.up)
        await eventually(lambda: _subscriptions(valkey.url) == 2)
        await publishing.move(order_id, TO_CONFIRMED[3])
        await publishing.move(new, *TO_CONFIRMED)
        await ear.hear_all()
        await all_ears.hear(1 + 4)
        await all_ears.silence()
    assert (ear.seqs, ear.code) == ([1, 2, 3, 4, 5], 1000)
    assert by_order(all_ears.events) == {order_id: [1, 2, 3, 4, 5], other: [1, 2], new: [1, 2, 3, 4, 5]}


def _subscriptions(url: str) -> int:
    with Redis.from_url(url) as client:
        return len(client.pubsub_channels())


async def test_without_redis_from_the_start_orders_are_taken_and_streamed(
    shared_database_url: str, shared_pool: Pool, valkey: Server, wallet: str
) -> None:
    """It is a hint and never the truth."""
    valkey.down()
    async with running_api(shared_database_url, valkey.url) as api:
        worker = WorkerDouble(shared_pool, live.Publisher(live.connect(valkey.url)))
        order_id = await api.place(userWallet=wallet)
        async with api.listening(f"/ws/orders/{order_id}") as ear, api.listening(f"/ws?wallet={wallet}") as all_ears:
            await ear.hear(1)
            await all_ears.hear(1)
            await worker.move(order_id, *TO_CONFIRMED, publish=False)
            new = await api.place(userWallet=wallet)
            await ear.hear_all()
            await all_ears.hear(5)
        assert (ear.seqs, ear.code) == ([1, 2, 3, 4, 5], 1000)
        assert by_order(all_ears.events) == {order_id: [1, 2, 3, 4, 5], new: [1]}
        ready = await api.get("/readyz")
        assert (ready.status, ready.json) == (200, {"status": "up", "postgres": "up", "redis": "down"})


async def test_orders_of_an_outage_are_announced_again_after_it(
    api: RunningApi, valkey: Server, publishing: WorkerDouble
) -> None:
    """The api needs no restart; what was placed meanwhile is found by the workers' sweep."""
    await asyncio.to_thread(valkey.down)
    for _ in range(5):
        await api.place()
    await asyncio.to_thread(valkey.up)

    async def announced() -> bool:
        await api.place()
        with Redis.from_url(valkey.url) as client:
            return bool(client.llen("dramatiq:orders"))

    await eventually(announced)
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await publishing.move(UUID(str(order_id)), *TO_CONFIRMED)
        await ear.hear_all()
    assert ear.seqs == [1, 2, 3, 4, 5]


async def test_a_redis_that_only_hangs_is_away_too(api: RunningApi, valkey: Server, publishing: WorkerDouble) -> None:
    """A peer that says nothing is noticed, and the sockets go on from PostgreSQL."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        with valkey.frozen():
            await publishing.move(order_id, *TO_CONFIRMED, publish=False)
            await api.place()
            await ear.hear_all()
    assert (ear.seqs, ear.code) == ([1, 2, 3, 4, 5], 1000)
