"""The events of one order on a WebSocket: every one, in order, once."""

import asyncio
from uuid import UUID

import pytest
from redis import Redis

from engine_common import live
from engine_common.orders import event_json
from engine_common.store import reading
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from integration.api.running_api import BODY, RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.waiting import eventually

ALL_STATES = ["queued", "routing", "building", "submitted", "confirmed"]


async def heard(redis: Redis, order_id: UUID) -> None:
    """Wait until somebody is subscribed to the order's events."""
    channel = live.order_channel(order_id)
    await eventually(lambda: redis.pubsub_numsub(channel)[0][1] > 0)


async def unheard(redis: Redis, order_id: UUID) -> None:
    channel = live.order_channel(order_id)
    await eventually(lambda: redis.pubsub_numsub(channel)[0][1] == 0)


async def test_connected_before_the_first_move_it_hears_every_event_as_it_happens(
    api: RunningApi, worker: WorkerDouble, redis: Redis
) -> None:
    """And is closed after the terminal one."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        for state in TO_CONFIRMED:
            await worker.move(order_id, state)
            assert (await ear.hear(1))[0]["status"] == state
        assert await ear.closed() == 1000
    assert ear.states == ALL_STATES
    assert ear.events == (await api.get(f"/api/orders/{order_id}/events")).json["data"]


async def test_connected_in_the_middle_it_hears_what_was_and_what_comes(
    api: RunningApi, worker: WorkerDouble, redis: Redis
) -> None:
    """Without a seam."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED[:2])
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(3)
        await heard(redis, order_id)
        await worker.move(order_id, *TO_CONFIRMED[2:])
        assert await ear.hear_all()
    assert (ear.states, ear.seqs, ear.code) == (ALL_STATES, [1, 2, 3, 4, 5], 1000)


async def test_connected_after_the_end_it_hears_everything_and_is_closed(api: RunningApi, worker: WorkerDouble) -> None:
    """The history is complete."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED)
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_connected_while_it_happens_nothing_falls_between_replay_and_live(
    api: RunningApi, worker: WorkerDouble
) -> None:
    """However the subscription, the replay and the moves interleave."""
    for _ in range(10):
        order_id = await api.place()
        moving = asyncio.create_task(worker.move(order_id, *TO_CONFIRMED))
        async with api.listening(f"/ws/orders/{order_id}") as ear:
            await ear.hear_all()
        await moving
        assert (ear.seqs, ear.code) == ([1, 2, 3, 4, 5], 1000)


@pytest.mark.parametrize("after", range(6))
async def test_a_reconnected_client_goes_on_where_it_stopped(api: RunningApi, worker: WorkerDouble, after: int) -> None:
    """With the `seq` of the last event it heard; after the last there is nothing but the close."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED)
    async with api.listening(f"/ws/orders/{order_id}?after={after}") as ear:
        await ear.hear_all()
    assert (ear.seqs, ear.code) == (list(range(after + 1, 6)), 1000)


async def test_a_reconnected_client_hears_only_what_is_new(api: RunningApi, worker: WorkerDouble, redis: Redis) -> None:
    """While the order runs on."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
    await unheard(redis, order_id)
    await worker.move(order_id, *TO_CONFIRMED[:2])
    async with api.listening(f"/ws/orders/{order_id}?after=1") as ear:
        await ear.hear(2)
        await heard(redis, order_id)
        await worker.move(order_id, *TO_CONFIRMED[2:])
        await ear.hear_all()
    assert (ear.seqs, ear.code) == ([2, 3, 4, 5], 1000)


async def test_repeated_and_disordered_messages_are_put_right(
    api: RunningApi, worker: WorkerDouble, redis: Redis
) -> None:
    """Duplicates are dropped, and a gap is filled from PostgreSQL before what lies behind it."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        events = await worker.move(order_id, *TO_CONFIRMED, publish=False)
        for number in (2, 0, 2, 1, 1, 3, 3, 0):
            redis.publish(live.order_channel(order_id), event_json(events[number]))
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_what_nobody_announced_is_found(api: RunningApi, worker: WorkerDouble, redis: Redis) -> None:
    """A worker that was killed between its commit and its message has told nobody."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        await worker.move(order_id, *TO_CONFIRMED, publish=False)
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_messages_that_are_no_events_disturb_nobody(api: RunningApi, worker: WorkerDouble, redis: Redis) -> None:
    """Whoever else publishes there."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        for message in (b"", b"{", b"[]", b"7", b'{"orderId": 1}', b"\xff"):
            redis.publish(live.order_channel(order_id), message)
        await worker.move(order_id, *TO_CONFIRMED)
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_retries_and_recoveries_are_events_of_their_own(
    api: RunningApi, worker: WorkerDouble, redis: Redis
) -> None:
    """Each with its `seq`."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        data = {"errorCode": "no_liquidity", "errorReason": "no venue", "failedAttempt": 1, "nextAttemptAt": None}
        await worker.move(order_id, Status.ROUTING)
        await worker.move(order_id, Status.ROUTING, data=data, outcome="no_liquidity")
        await worker.move(order_id, *TO_CONFIRMED[1:])
        await ear.hear_all()
    assert [event["type"] for event in ear.events] == ["status", "status", "retrying", "status", "status", "status"]
    assert (ear.events[2]["attempt"], ear.events[2]["data"]) == (2, data)


async def test_many_sockets_of_one_order_hear_the_same(api: RunningApi, worker: WorkerDouble, redis: Redis) -> None:
    """Over one subscription; those who leave early do not take it with them."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as first, api.listening(f"/ws/orders/{order_id}") as second:
        async with api.listening(f"/ws/orders/{order_id}") as leaver:
            await leaver.hear(1)
            await first.hear(1)
            await second.hear(1)
            assert redis.pubsub_numsub(live.order_channel(order_id))[0][1] == 1
        await worker.move(order_id, *TO_CONFIRMED)
        await asyncio.gather(first.hear_all(), second.hear_all())
    assert first.events == second.events
    assert first.states == ALL_STATES
    await unheard(redis, order_id)


async def test_sockets_that_come_and_go_never_miss_an_event(api: RunningApi, worker: WorkerDouble) -> None:
    """Unsubscribing and subscribing again in quick succession loses no confirmation."""
    order_id = await api.place()
    for _ in range(20):
        async with api.listening(f"/ws/orders/{order_id}") as ear:
            await ear.hear(1)
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await worker.move(order_id, *TO_CONFIRMED)
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_what_a_client_says_on_a_stream_does_not_hold_it_up(api: RunningApi, worker: WorkerDouble) -> None:
    """However much it is; some of it is answered in between."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        for number in range(100):
            await ear.connection.send(f"message {number}")
        await worker.move(order_id, *TO_CONFIRMED)
        await ear.hear_all()
    events = [event["status"] for event in ear.events if "seq" in event]
    assert (events, ear.code) == (ALL_STATES, 1000)


async def test_the_path_that_created_the_order_streams_it_too(api: RunningApi, worker: WorkerDouble) -> None:
    """As clients of earlier engines open it; transaction and price stand at the top level."""
    order_id = await api.place()
    async with api.listening(f"/api/orders/execute?orderId={order_id}") as ear:
        await ear.hear(1)
        await worker.move(order_id, *TO_CONFIRMED)
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)
    assert ear.events[3]["txHash"] == ear.events[4]["txHash"] == ear.events[3]["data"]["txHash"]
    assert ear.events[4]["executionPrice"] == "148.608667333"


@pytest.mark.parametrize(
    "message",
    [
        '{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1.5,"userId":"u"}',
        b'{"inputToken":"SOL","outputToken":"USDC","inputAmount":"2"}',
    ],
)
async def test_an_order_on_the_socket_is_created_executed_and_streamed(
    api: RunningApi, worker: WorkerDouble, message: str | bytes
) -> None:
    """The first message is its body, as text or as bytes."""
    async with api.listening("/api/orders/execute") as ear:
        await ear.connection.send(message)
        (queued,) = await ear.hear(1)
        assert (queued["status"], queued["seq"]) == ("queued", 1)
        await worker.move(UUID(queued["orderId"]), *TO_CONFIRMED)
        await ear.hear_all()
    assert (ear.states, ear.code) == (ALL_STATES, 1000)


async def test_an_order_on_the_socket_may_carry_an_idempotency_key(api: RunningApi, wallet: str) -> None:
    """In the handshake; a repeated one streams the first one's order."""
    headers = {"idempotency-key": f"key of {wallet}"}
    placed = (await api.post("/api/orders/execute", BODY, headers=headers)).json
    async with api.listening("/api/orders/execute", additional_headers=headers) as ear:
        await ear.connection.send('{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1.5}')
        (queued,) = await ear.hear(1)
    assert queued["orderId"] == placed["orderId"]


async def test_an_executed_order_of_before_streams_from_its_creation(
    api: RunningApi, shared_pool: Pool, redis: Redis
) -> None:
    """The api's own transitions are live events too."""
    order_id = await api.place("/api/orders")
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await heard(redis, order_id)
        await api.post(f"/api/orders/{order_id}/execute")
        await ear.hear(1)
    async with shared_pool.connection() as connection:
        assert [event.status for event in await reading.read_events(connection, order_id)] == ear.states
    assert ear.states == ["pending", "queued"]
