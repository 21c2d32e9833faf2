"""PostgreSQL, Valkey and the DEX go away and come back: nothing is lost, done twice, or restarted by hand."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from devstack import servers
from devstack.ports import free_port
from engine_common.migrate import migrate
from engine_common.store.pool import Pool, open_pool
from engine_common.transitions import Status
from support.placing import all_finished, announce, histories, place, read_all
from support.services import MockDex, Worker
from support.waiting import eventually

StartWorker = Callable[..., Awaitable[Worker]]


class Breakable:
    """A server of the test's own, which can go away and come back at the same address."""

    def __init__(self, start: Callable[[], AbstractContextManager[str]]) -> None:
        self._start = start
        self._running: AbstractContextManager[str] | None = None
        self.url = ""

    def up(self) -> str:
        self._running = self._start()
        self.url = self._running.__enter__()
        return self.url

    def down(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None


@contextmanager
def breakable(start: Callable[[], AbstractContextManager[str]]) -> Iterator[Breakable]:
    server = Breakable(start)
    try:
        yield server
    finally:
        server.down()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Breakable]:
    port = free_port()
    with breakable(lambda: servers.valkey(tmp_path / "valkey", port)) as server:
        yield server


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Breakable]:
    port = free_port()
    with breakable(lambda: servers.postgres(tmp_path / "postgres", port)) as server:
        await asyncio.to_thread(server.up)
        await asyncio.to_thread(migrate, server.url)
        yield server


async def assert_swapped_once(dex: MockDex, pool: Pool, ids: Sequence[UUID]) -> None:
    orders = await all_finished(pool, ids)
    assert {order.status for order in orders} == {Status.CONFIRMED}
    assert sorted(row["orderId"] for row in await dex.landings(*ids)) == sorted(map(str, ids))
    await histories(pool, ids)


async def test_orders_are_executed_while_redis_is_away_and_announced_ones_again_after_it_came_back(
    start_worker: StartWorker, dex: MockDex, pool: Pool, valkey: Breakable
) -> None:
    """The worker starts without it, says so in its readiness, and never needs a restart."""
    url = valkey.up()
    valkey.down()
    worker = await start_worker(ready=False, REDIS_URL=url)
    ids = await place(pool, 20)
    await assert_swapped_once(dex, pool, ids)
    assert await worker.readiness() == {"status": "down", "postgres": "up", "redis": "down"}
    valkey.up()
    await worker.until_ready()
    ids = await place(pool, 20)
    await announce(url, ids)
    await assert_swapped_once(dex, pool, ids)
    async with Redis.from_url(url) as client:
        await eventually(lambda: all_consumed(client))
    assert await worker.stop() == 0


async def all_consumed(client: Redis) -> bool:
    return await client.llen("dramatiq:orders") == 0 and await client.hlen("dramatiq:orders.msgs") == 0


async def test_a_restart_of_postgres_in_the_middle_loses_nothing(
    start_worker: StartWorker, dex: MockDex, postgres: Breakable, redis_url: str
) -> None:
    """Moves that were under way are repeated or read back; the same process goes on."""
    await dex.set(execution_delay_ms=1_000)
    worker = await start_worker(DATABASE_URL=postgres.url)
    async with open_pool(postgres.url, size=2, name="test") as pool:
        ids = await place(pool, 60)
        await announce(redis_url, ids)

        async def under_way() -> bool:
            return any(order.status is Status.SUBMITTED for order in await read_all(pool, ids))

        await eventually(under_way)
    await asyncio.to_thread(postgres.down)
    await asyncio.sleep(1)
    await asyncio.to_thread(postgres.up)
    async with open_pool(postgres.url, size=2, name="test") as pool:
        await assert_swapped_once(dex, pool, ids)
    assert await worker.stop() == 0


async def test_a_worker_that_starts_before_postgres_waits_for_it(
    start_worker: StartWorker, dex: MockDex, postgres: Breakable, redis_url: str
) -> None:
    """Whatever starts first."""
    await asyncio.to_thread(postgres.down)
    worker = await start_worker(ready=False, DATABASE_URL=postgres.url)
    await eventually(lambda: "PostgreSQL" in worker.log or "heartbeat failed" in worker.log)
    await asyncio.to_thread(postgres.up)
    await worker.until_ready()
    async with open_pool(postgres.url, size=2, name="test") as pool:
        ids = await place(pool, 3)
        await announce(redis_url, ids)
        await assert_swapped_once(dex, pool, ids)


async def test_a_dex_that_is_killed_and_comes_back_has_swapped_every_order_once(
    start_worker: StartWorker, tmp_path: Path, pool: Pool, redis_url: str
) -> None:
    """Quotes, sends and polls of that time went unanswered: a time-out is unknown, never failed."""
    dex = MockDex(tmp_path / "own")
    try:
        await dex.until_ready()
        await dex.set(quote_delay_ms=50, execution_delay_ms=500, failure_rate=0.0)
        await start_worker(DEX_URL=dex.url)
        ids = await place(pool, 60)
        await announce(redis_url, ids)

        async def under_way() -> bool:
            return any(order.status is Status.SUBMITTED for order in await read_all(pool, ids))

        await eventually(under_way)
        dex.send(signal.SIGKILL)
        await dex.ended()
        again = MockDex(tmp_path / "own", dex.port, MOCK_DEX_QUOTE_DELAY_MS="5", MOCK_DEX_EXECUTION_DELAY_MS="50")
        try:
            await again.until_ready()
            await again.set(failure_rate=0.0)
            await assert_swapped_once(again, pool, ids)
        finally:
            again.close()
    finally:
        dex.close()


async def test_a_venue_that_is_dead_is_left_out_and_takes_part_again_by_itself(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """The other one goes on alone, and no order waits for the dead one's time-outs for long."""
    await dex.set(quote_timeout_rate_raydium=1.0)
    try:
        worker = await start_worker()
        ids = await place(pool, 40)
        await announce(redis_url, ids)
        await assert_swapped_once(dex, pool, ids)
        assert {order.venue for order in await read_all(pool, ids)} == {"meteora"}
        assert await worker.metric("engine_venue_circuits_open") == 1
    finally:
        await dex.set(quote_timeout_rate_raydium=0.0)

    async def closed() -> bool:
        ids = await place(pool, 1)
        await announce(redis_url, ids)
        await assert_swapped_once(dex, pool, ids)
        return await worker.metric("engine_venue_circuits_open") == 0

    await eventually(closed)
