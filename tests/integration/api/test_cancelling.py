"""Cancelling what has not been submitted, in a race with the worker at every state."""

import asyncio
from uuid import UUID, uuid4

import pytest

from engine_common.store import reading
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from integration.api.running_api import RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.orders import insert_row

BEFORE_SUBMITTED = [(), (Status.ROUTING,), (Status.ROUTING, Status.BUILDING)]
A_RETRY = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.ROUTING)


async def states(pool: Pool, order_id: UUID) -> list[str]:
    async with pool.connection() as connection:
        events = await reading.read_events(connection, order_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.status for event in events]


async def outcomes(pool: Pool, order_id: UUID) -> list[tuple[int, str | None]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT attempt, outcome FROM attempts WHERE order_id = %s ORDER BY attempt", (order_id,)
        )
        return await cursor.fetchall()


async def test_a_pending_order_is_cancelled(api: RunningApi, shared_pool: Pool) -> None:
    """The answer shows it as it stands after that; nobody began it, so there is no attempt."""
    order_id = await api.place("/api/orders")
    answer = await api.post(f"/api/orders/{order_id}/cancel")
    assert (answer.status, answer.json["status"], answer.json["version"]) == (200, "cancelled", 2)
    assert answer.json == (await api.get(f"/api/orders/{order_id}")).json
    assert await states(shared_pool, order_id) == ["pending", "cancelled"]
    assert await outcomes(shared_pool, order_id) == []


@pytest.mark.parametrize("path", BEFORE_SUBMITTED, ids=["queued", "routing", "building"])
async def test_an_order_on_its_way_is_cancelled_until_it_is_submitted(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool, path: tuple[Status, ...]
) -> None:
    """What a worker had begun is an attempt that ended."""
    order_id = await api.place()
    await worker.move(order_id, *path)
    answer = await api.post(f"/api/orders/{order_id}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert await states(shared_pool, order_id) == ["queued", *path, "cancelled"]
    assert await outcomes(shared_pool, order_id) == ([(1, "cancelled")] if path else [])


async def test_after_a_failed_attempt_an_order_is_cancelled(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool
) -> None:
    """The chain has decided the first attempt, and the second was not submitted."""
    order_id = await api.place()
    await worker.move(order_id, *A_RETRY[:-1])
    await worker.move(order_id, Status.ROUTING, outcome="swap_failed")
    answer = await api.post(f"/api/orders/{order_id}/cancel")
    assert (answer.status, answer.json["status"], answer.json["attempt"]) == (200, "cancelled", 2)
    assert await outcomes(shared_pool, order_id) == [(1, "swap_failed"), (2, "cancelled")]


async def test_cancelling_again_changes_nothing(api: RunningApi, shared_pool: Pool) -> None:
    """It is cancelled, and that is what was asked for."""
    order_id = await api.place()
    first = await api.post(f"/api/orders/{order_id}/cancel")
    again = await api.post(f"/api/orders/{order_id}/cancel")
    assert (again.status, again.json) == (200, first.json)
    assert await states(shared_pool, order_id) == ["queued", "cancelled"]


async def test_the_request_to_cancel_a_submitted_order_is_kept(api: RunningApi, worker: WorkerDouble) -> None:
    """What may have been sent is the chain's to decide; the order says that its owner has asked."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED[:-1])
    answer = await api.post(f"/api/orders/{order_id}/cancel")
    assert (answer.status, answer.json["status"], answer.json["version"]) == (202, "submitted", 5)
    assert answer.json["cancelRequestedAt"] == answer.json["updatedAt"]
    assert answer.json == (await api.get(f"/api/orders/{order_id}")).json
    again = await api.post(f"/api/orders/{order_id}/cancel")
    assert (again.status, again.json) == (202, answer.json)
    events = (await api.get(f"/api/orders/{order_id}/events")).json["data"]
    assert (events[-1]["type"], events[-1]["status"], events[-1]["previousStatus"]) == (
        "cancel_requested",
        "submitted",
        None,
    )
    await worker.move(order_id, Status.CONFIRMED)
    (await api.post(f"/api/orders/{order_id}/cancel")).problem(409, "already_finished")


@pytest.mark.parametrize("target", [Status.ROUTING, Status.FAILED])
async def test_after_a_request_to_cancel_no_further_attempt_begins(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool, target: Status
) -> None:
    """The attempt ends without a swap, and with it the order: cancelled, as its owner asked. Sockets hear of both."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await worker.move(order_id, *TO_CONFIRMED[:-1])
        await api.post(f"/api/orders/{order_id}/cancel")
        await worker.move(order_id, target, outcome="swap_failed", outcome_reason="6000", error_code="swap_failed")
        await ear.hear_all()
    shown = (await api.get(f"/api/orders/{order_id}")).json
    assert (shown["status"], shown["attempt"], shown["errorCode"]) == ("cancelled", 1, None)
    assert ear.states[-3:] == ["submitted", "submitted", "cancelled"]
    assert (ear.seqs, ear.code) == ([1, 2, 3, 4, 5, 6], 1000)
    assert await outcomes(shared_pool, order_id) == [(1, "swap_failed")]
    answer = await api.post(f"/api/orders/{order_id}/cancel")
    assert (answer.status, answer.json) == (200, shown)


async def test_a_failed_order_cannot_be_cancelled(api: RunningApi, shared_pool: Pool) -> None:
    """Nothing leaves a terminal state."""
    async with shared_pool.connection() as connection:
        order_id = await insert_row(connection, Status.FAILED)
    (await api.post(f"/api/orders/{order_id}/cancel")).problem(409, "already_finished")


async def test_an_unknown_order_cannot_be_cancelled(api: RunningApi) -> None:
    """Nor one whose id is none."""
    (await api.post(f"/api/orders/{uuid4()}/cancel")).problem(404, "not_found")
    (await api.post("/api/orders/x/cancel")).problem(404, "not_found")


async def test_a_cancelled_order_cannot_be_executed(api: RunningApi) -> None:
    """It is finished."""
    order_id = await api.place("/api/orders")
    await api.post(f"/api/orders/{order_id}/cancel")
    (await api.post(f"/api/orders/{order_id}/execute")).problem(409, "already_finished")


async def test_sockets_hear_of_the_cancellation_and_close(api: RunningApi) -> None:
    """It is the order's last event."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await api.post(f"/api/orders/{order_id}/cancel")
        await ear.hear_all()
    assert (ear.states, ear.seqs, ear.code) == (["queued", "cancelled"], [1, 2], 1000)


@pytest.mark.parametrize("target", [Status.ROUTING, Status.BUILDING, Status.SUBMITTED])
async def test_cancel_and_worker_at_once_agree_on_who_came_first(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool, target: Status
) -> None:
    """Whoever loses reads the order again and decides anew: nothing is submitted after it was cancelled."""
    before = TO_CONFIRMED[: TO_CONFIRMED.index(target)]
    for _ in range(5):
        order_id = await api.place()
        await worker.move(order_id, *before)
        cancelling = asyncio.create_task(api.post(f"/api/orders/{order_id}/cancel"))
        try:
            await worker.move(order_id, target)
            moved = True
        except (AssertionError, ValueError):  # the compare-and-set missed, or the worker read that it is cancelled
            moved = False
        answer = await cancelling
        history = await states(shared_pool, order_id)
        if answer.status == 200:
            assert history == ["queued", *before, *([target] if moved else []), "cancelled"]
            assert not (moved and target is Status.SUBMITTED)
        else:
            assert (answer.status, moved, target) == (202, True, Status.SUBMITTED)
            assert history == ["queued", *before, target, target]


async def test_many_who_cancel_at_once_cancel_the_order_once(api: RunningApi, shared_pool: Pool) -> None:
    """All are told that it is cancelled, by one event."""
    order_id = await api.place()
    answers = await asyncio.gather(*(api.post(f"/api/orders/{order_id}/cancel") for _ in range(20)))
    assert {(answer.status, answer.json["status"]) for answer in answers} == {(200, "cancelled")}
    assert await states(shared_pool, order_id) == ["queued", "cancelled"]
