"""Workers that end, by request or by force: no order is lost, none is swapped twice, and others go on at once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from engine_common.orders import Order
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from support.placing import all_finished, announce, histories, place, read_all
from support.services import MockDex, Worker
from support.stalling import stalling_proxy
from support.waiting import eventually

StartWorker = Callable[..., Awaitable[Worker]]

ORDERS = 30
# A lease that does not run out during a test: what is taken over all the same was released.
NO_END = {"ENGINE_LEASE_S": "600"}


async def submitted(pool: Pool, redis_url: str, count: int = ORDERS) -> list[UUID]:
    """Place orders and wait until all of them were sent."""
    ids = await place(pool, count)
    await announce(redis_url, ids)

    async def all_sent() -> bool:
        return {order.status for order in await read_all(pool, ids)} == {Status.SUBMITTED}

    await eventually(all_sent)
    return ids


async def assert_swapped_once(dex: MockDex, orders: Sequence[Order]) -> None:
    """Every order is confirmed, by the one landing that it has."""
    assert {order.status for order in orders} == {Status.CONFIRMED}
    landings = await dex.landings(*(order.id for order in orders))
    assert {row["orderId"]: row["signature"] for row in landings} == {str(order.id): order.tx_hash for order in orders}
    assert len(landings) == len(orders)


async def owners(pool: Pool) -> Counter[UUID | None]:
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT worker_id FROM orders WHERE finished_at IS NULL")).fetchall()
    return Counter(row[0] for row in rows)


async def test_a_stopped_worker_finishes_what_it_can_and_leaves_nothing_owned(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """It consumes no more, and ends with code 0."""
    await dex.set(execution_delay_ms=700)
    worker = await start_worker(ENGINE_DRAIN_S="30")
    ids = await submitted(pool, redis_url)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    await assert_swapped_once(dex, await read_all(pool, ids))
    assert {order.lease_epoch for order in await read_all(pool, ids)} == {1}


async def test_what_a_stopped_worker_could_not_finish_is_released_and_taken_over_at_once(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """Nobody waits for a lease: the epoch went up and the owner is gone, after the last write."""
    await dex.set(execution_delay_ms=4_000)
    first = await start_worker(ENGINE_DRAIN_S="0.1", **NO_END)
    ids = await submitted(pool, redis_url)
    assert await first.stop() == 0
    assert await owners(pool) == {None: ORDERS}
    assert {order.lease_epoch for order in await read_all(pool, ids)} == {2}
    second = await start_worker(**NO_END)
    await assert_swapped_once(dex, await all_finished(pool, ids))
    for events in await histories(pool, ids):
        assert [event.type for event in events if event.type != "status"] == ["recovered"]
    assert await second.metric('engine_orders_recovered_total{lease="released"}') == ORDERS
    assert await second.metric('engine_orders_recovered_total{lease="expired"}') == 0


async def test_what_is_released_does_not_wait_for_a_redis_that_hangs(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """The consumer's end takes seconds then, and up to one on a good day: orders stood still until it had come."""
    await dex.set(execution_delay_ms=6_000)
    async with stalling_proxy(redis_url) as (proxy, stalling_url):
        worker = await start_worker(ENGINE_DRAIN_S="0", REDIS_URL=stalling_url, **NO_END)
        await submitted(pool, redis_url)
        proxy.stall()
        worker.send(signal.SIGTERM)

        async def released() -> bool:
            return await owners(pool) == {None: ORDERS}

        await eventually(released)
        assert worker.process.poll() is None  # its consumer still waits for Redis
        assert await worker.ended() == 0


async def test_a_worker_stopped_with_messages_waiting_leaves_them_to_others(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """It carries two of two hundred; what it fetched and had no room for is claimed by the next."""
    await dex.set(execution_delay_ms=1_000)
    first = await start_worker(ENGINE_MAX_IN_FLIGHT="2", ENGINE_DRAIN_S="0", **NO_END)
    ids = await place(pool, 200)
    await announce(redis_url, ids)
    await eventually(lambda: owned_by_somebody(pool))
    assert await first.stop() == 0
    await dex.set(execution_delay_ms=50)
    await start_worker(**NO_END)
    await assert_swapped_once(dex, await all_finished(pool, ids))


async def owned_by_somebody(pool: Pool) -> bool:
    return any(owner is not None for owner in await owners(pool))


async def test_orders_of_a_killed_worker_are_recovered_and_swapped_once(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """After its lease; each says `recovered`, is no further attempt, and goes on with the bytes that were committed."""
    await dex.set(execution_delay_ms=1_500)
    lease = {"ENGINE_LEASE_S": "3"}
    first = await start_worker(**lease)
    ids = await submitted(pool, redis_url)
    signatures = {order.id: order.tx_hash for order in await read_all(pool, ids)}
    first.send(signal.SIGKILL)
    second = await start_worker(**lease)
    orders = await all_finished(pool, ids)
    await assert_swapped_once(dex, orders)
    assert {order.id: order.tx_hash for order in orders} == signatures
    assert await second.metric('engine_orders_recovered_total{lease="expired"}') == ORDERS
    assert {order.attempt for order in orders} == {1}
    for events in await histories(pool, ids):
        assert "recovered" in [event.type for event in events]


async def test_a_worker_that_was_stalled_finds_its_orders_gone_and_leaves_them_alone(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """It was taken for dead and comes back: nothing is written twice, sent by both at most with the same bytes."""
    await dex.set(execution_delay_ms=3_000)
    lease = {"ENGINE_LEASE_S": "3"}
    first = await start_worker(**lease)
    ids = await submitted(pool, redis_url)
    first.send(signal.SIGSTOP)
    try:
        await start_worker(**lease)

        async def taken_over() -> bool:
            return all(order.lease_epoch > 1 for order in await read_all(pool, ids))

        await eventually(taken_over)
    finally:
        first.send(signal.SIGCONT)
    await assert_swapped_once(dex, await all_finished(pool, ids))
    await histories(pool, ids)
    await eventually(lambda: carries_nothing(first))
    assert await first.stop() == 0


async def carries_nothing(worker: Worker) -> bool:
    return await worker.metric("engine_orders_in_flight") == 0


async def test_two_workers_share_the_work_and_one_goes_on_alone(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """Stopping one of them in the middle costs nothing."""
    await dex.set(execution_delay_ms=300)
    first, _ = await asyncio.gather(start_worker(ENGINE_DRAIN_S="0.1"), start_worker())
    ids = await place(pool, 150)
    await announce(redis_url, ids)
    await eventually(lambda: owned_by_somebody(pool))
    assert await first.stop() == 0
    await assert_swapped_once(dex, await all_finished(pool, ids))
