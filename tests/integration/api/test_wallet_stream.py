"""All orders of a wallet on one WebSocket."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redis import Redis

from engine_common import live
from engine_common.orders import event_json
from engine_common.store import creation, reading
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from integration.api.running_api import RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.orders import new_order
from support.waiting import eventually


async def heard(redis: Redis, wallet: str) -> None:
    """Wait until somebody is subscribed to the wallet's events."""
    channel = live.wallet_channel("default", wallet)
    await eventually(lambda: redis.pubsub_numsub(channel)[0][1] > 0)


def by_order(events: list[dict[str, Any]]) -> dict[UUID, list[int]]:
    found: defaultdict[UUID, list[int]] = defaultdict(list)
    for event in events:
        found[UUID(event["orderId"])].append(event["seq"])
    return dict(found)


async def test_it_begins_with_the_state_of_each_unfinished_order(
    api: RunningApi, worker: WorkerDouble, wallet: str
) -> None:
    """As its latest event; what has finished, and what is another wallet's, is left out."""
    pending = await api.place("/api/orders", userWallet=wallet)
    running = await api.place(userWallet=wallet)
    done = await api.place(userWallet=wallet)
    await api.place(userWallet=wallet + "2")
    await worker.move(running, *TO_CONFIRMED[:2])
    await worker.move(done, *TO_CONFIRMED)
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        await ear.hear(2)
        await ear.silence()
    assert [(UUID(event["orderId"]), event["seq"], event["status"]) for event in ear.events] == [
        (pending, 1, "pending"),
        (running, 3, "building"),
    ]


async def test_then_every_event_of_every_order_comes_in_order(
    api: RunningApi, worker: WorkerDouble, wallet: str, redis: Redis
) -> None:
    """Of those that were there, and of those that are placed later; `userId` is the wallet to earlier clients."""
    known = await api.place(userWallet=wallet)
    async with api.listening(f"/ws?userId={wallet}") as ear:
        await ear.hear(1)
        await heard(redis, wallet)
        new = await api.place(userWallet=wallet)
        await worker.move(known, *TO_CONFIRMED)
        await worker.move(new, *TO_CONFIRMED)
        await ear.hear(9)
        await ear.silence()
    assert by_order(ear.events) == {known: [1, 2, 3, 4, 5], new: [1, 2, 3, 4, 5]}


async def test_gaps_are_filled_and_repetitions_dropped_for_each_order(
    api: RunningApi, worker: WorkerDouble, wallet: str, redis: Redis
) -> None:
    """An order that was there before begins with what comes first; a late copy of a finished one is no new order."""
    known = await api.place(userWallet=wallet)
    unknown = await api.place(userWallet=wallet)
    events = await worker.move(unknown, *TO_CONFIRMED, publish=False)
    channel = live.wallet_channel("default", wallet)
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        await ear.hear(1)
        await heard(redis, wallet)
        for number in (1, 3, 0, 2, 3, 3):
            redis.publish(channel, event_json(events[number]))
        moves = await worker.move(known, *TO_CONFIRMED[:3], publish=False)
        for number in (2, 1, 0):
            redis.publish(channel, event_json(moves[number]))
        await ear.hear(6)
        await ear.silence()
    assert by_order(ear.events) == {known: [1, 2, 3, 4], unknown: [3, 4, 5]}


async def test_an_order_that_is_new_begins_at_its_beginning_whatever_comes_first(
    api: RunningApi, worker: WorkerDouble, wallet: str, redis: Redis, shared_pool: Pool
) -> None:
    """The api tells of its first event and a worker of the others, over connections that may overtake each other."""
    channel = live.wallet_channel("default", wallet)
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        await heard(redis, wallet)
        await ear.silence()
        new = new_order(user_wallet=wallet)
        async with shared_pool.connection() as connection:
            await creation.create(connection, [new])
        moves = await worker.move(new.id, *TO_CONFIRMED[:2], publish=False)
        async with shared_pool.connection() as connection:
            (first, *_) = await reading.read_events(connection, new.id)
        for event in (moves[0], first, moves[1]):
            redis.publish(channel, event_json(event))
        await ear.hear(3)
        await ear.silence()
    assert by_order(ear.events) == {new.id: [1, 2, 3]}


async def test_since_resumes_with_what_changed_meanwhile(
    api: RunningApi, worker: WorkerDouble, wallet: str, redis: Redis
) -> None:
    """Finished orders included, as their latest events; an unchanged order is silent until it moves."""
    unchanged = await api.place("/api/orders", userWallet=wallet)
    finished = await api.place(userWallet=wallet)
    await worker.move(finished, *TO_CONFIRMED)
    later = (datetime.now(UTC) + timedelta(seconds=6)).isoformat().replace("+00:00", "Z")
    earlier = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    async with api.listening(f"/ws?wallet={wallet}&since={earlier}") as ear:
        await ear.hear(2)
        await ear.silence()
    assert by_order(ear.events) == {unchanged: [1], finished: [5]}
    async with api.listening(f"/ws?wallet={wallet}&since={later}") as ear:
        await heard(redis, wallet)
        await ear.silence()
        await api.post(f"/api/orders/{unchanged}/execute")
        await ear.hear(1)
    assert by_order(ear.events) == {unchanged: [2]}


async def test_what_nobody_announced_is_found(
    api: RunningApi, worker: WorkerDouble, wallet: str, redis: Redis, shared_pool: Pool
) -> None:
    """Of known orders and of new ones, from their beginning; what had finished before is no news."""
    finished_before = await api.place(userWallet=wallet)
    await worker.move(finished_before, *TO_CONFIRMED)
    known = await api.place(userWallet=wallet)
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        await ear.hear(1)
        await heard(redis, wallet)
        await worker.move(known, *TO_CONFIRMED, publish=False)
        new = new_order(user_wallet=wallet)
        async with shared_pool.connection() as connection:
            await creation.create(connection, [new])
        await worker.move(new.id, *TO_CONFIRMED, publish=False)
        await ear.hear(4 + 5)
        await ear.silence()
    assert by_order(ear.events) == {known: [1, 2, 3, 4, 5], new.id: [1, 2, 3, 4, 5]}


async def test_a_wallet_may_have_any_number_of_orders(
    api: RunningApi, worker: WorkerDouble, wallet: str, shared_pool: Pool
) -> None:
    """They are read in pages; none is left out and none comes twice."""
    orders = [new_order(user_wallet=wallet, status=Status.PENDING) for _ in range(2_100)]
    async with shared_pool.connection() as connection:
        await creation.create(connection, orders)
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        await ear.hear(2_100)
        await worker.move(orders[3].id, Status.QUEUED)
        await ear.hear(1)
    assert [UUID(event["orderId"]) for event in ear.events] == [*(order.id for order in orders), orders[3].id]
