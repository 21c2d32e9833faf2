"""Executing an order that was created before."""

import asyncio
from uuid import UUID, uuid4

import pytest
from redis import Redis

from engine_common.store import reading
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from integration.api.running_api import RunningApi
from integration.api.test_placing import announced
from integration.api.worker_double import WorkerDouble
from support.orders import insert_row
from support.waiting import eventually


async def test_a_pending_order_is_queued_and_announced(api: RunningApi, redis: Redis) -> None:
    """The answer shows it as it stands after that."""
    order_id = await api.place("/api/orders")
    answer = await api.post(f"/api/orders/{order_id}/execute")
    assert (answer.status, answer.json["status"], answer.json["version"]) == (202, "queued", 2)
    assert answer.json == (await api.get(f"/api/orders/{order_id}")).json
    await eventually(lambda: announced(redis) == [str(order_id)])


async def test_executing_again_changes_nothing_while_the_order_is_unfinished(
    api: RunningApi, worker: WorkerDouble
) -> None:
    """It is on its way, and that is what was asked for."""
    order_id = await api.place("/api/orders")
    await api.post(f"/api/orders/{order_id}/execute")
    again = await api.post(f"/api/orders/{order_id}/execute")
    assert (again.status, again.json["version"]) == (202, 2)
    await worker.move(order_id, Status.ROUTING)
    running = await api.post(f"/api/orders/{order_id}/execute")
    assert (running.status, running.json["status"], running.json["version"]) == (202, "routing", 3)


@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.FAILED, Status.CANCELLED])
async def test_a_finished_order_cannot_be_executed(api: RunningApi, shared_pool: Pool, status: Status) -> None:
    """Nothing leaves a terminal state."""
    async with shared_pool.connection() as connection:
        order_id = await insert_row(connection, status)
    (await api.post(f"/api/orders/{order_id}/execute")).problem(409, "already_finished")


async def test_an_unknown_order_cannot_be_executed(api: RunningApi) -> None:
    """Nor one whose id is none."""
    (await api.post(f"/api/orders/{uuid4()}/execute")).problem(404, "not_found")
    (await api.post("/api/orders/x/execute")).problem(404, "not_found")


async def test_many_who_ask_at_once_queue_the_order_once(api: RunningApi, shared_pool: Pool) -> None:
    """All are told that it is queued, by one event."""
    order_id = await api.place("/api/orders")
    answers = await asyncio.gather(*(api.post(f"/api/orders/{order_id}/execute") for _ in range(20)))
    assert {(answer.status, answer.json["status"]) for answer in answers} == {(202, "queued")}
    async with shared_pool.connection() as connection:
        events = await reading.read_events(connection, UUID(str(order_id)))
    assert [event.status for event in events] == ["pending", "queued"]


async def test_execute_and_cancel_at_once_agree_on_who_came_first(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool
) -> None:
    """Whoever loses the race reads the order again and decides anew."""
    for _ in range(5):
        order_id = await api.place("/api/orders")
        executing = asyncio.create_task(api.post(f"/api/orders/{order_id}/execute"))
        try:
            await worker.move(order_id, Status.CANCELLED)
            cancelled = True
        except AssertionError:
            cancelled = False
        answer = await executing
        async with shared_pool.connection() as connection:
            states = [event.status for event in await reading.read_events(connection, order_id)]
        if answer.status == 409:
            assert cancelled
            assert states == ["pending", "cancelled"]
        else:
            assert answer.status == 202
            assert states[:2] == ["pending", "queued"]
