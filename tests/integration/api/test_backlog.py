"""The bound on unfinished orders: beyond it nothing more is taken, and what was taken before is still answered."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from engine_common import live
from engine_common.store.pool import open_pool
from engine_common.transitions import Status
from integration.api.running_api import BODY, RunningApi, running_api
from integration.api.worker_double import WorkerDouble
from support.waiting import eventually

BOUND = 5


@pytest.fixture
async def narrow(database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api that takes few unfinished orders."""
    async with running_api(database_url, redis_url, engine_max_unfinished=BOUND) as api:
        yield api


async def test_beyond_the_bound_nothing_is_taken(narrow: RunningApi) -> None:
    """Counted at once, without waiting for the next count; the answer says when to come again."""
    answers = await asyncio.gather(*(narrow.post("/api/orders/execute", BODY) for _ in range(3 * BOUND)))
    refused = [answer for answer in answers if answer.status != 202]
    assert len(refused) == 2 * BOUND
    for answer in refused:
        problem = answer.problem(503, "overloaded")
        assert problem["retryable"] is True
        assert str(BOUND) in problem["detail"]
        assert int(answer.headers["retry-after"]) > 0
    assert len((await narrow.get("/api/orders")).json["data"]) == BOUND


async def fill(api: RunningApi) -> list[UUID]:
    return [await api.place() for _ in range(BOUND)]


async def test_a_pending_order_does_not_count_and_cannot_be_queued_when_there_is_no_room(narrow: RunningApi) -> None:
    """Nothing is to be executed before its owner says so."""
    pending = [await narrow.place("/api/orders") for _ in range(2 * BOUND)]
    await fill(narrow)
    (await narrow.post(f"/api/orders/{pending[0]}/execute")).problem(503, "overloaded")
    assert (await narrow.get(f"/api/orders/{pending[0]}")).json["status"] == "pending"
    (await narrow.post("/api/orders", BODY)).problem(503, "overloaded")
    assert (await narrow.post(f"/api/orders/{pending[0]}/cancel")).status == 200


async def test_a_repeated_request_gets_its_order_whatever_the_load(narrow: RunningApi) -> None:
    """The key is looked up before the refusal; another order under the same key is still an error."""
    first = await narrow.post("/api/orders/execute", BODY, key="mine")
    await asyncio.gather(*(narrow.post("/api/orders/execute", BODY) for _ in range(BOUND)))
    again = await narrow.post("/api/orders/execute", BODY, key="mine")
    assert (again.status, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json["orderId"] == first.json["orderId"]
    (await narrow.post("/api/orders/execute", BODY | {"amountIn": "2"}, key="mine")).problem(
        422, "idempotency_key_reused"
    )
    (await narrow.post("/api/orders/execute", BODY, key="another")).problem(503, "overloaded")


async def test_a_socket_that_places_an_order_is_told_to_come_again(narrow: RunningApi) -> None:
    """The problem document, then close code 1013."""
    await fill(narrow)
    async with narrow.listening("/api/orders/execute") as ear:
        await ear.connection.send('{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"}')
        (problem,) = await ear.hear_all()
    assert (problem["code"], problem["status"], ear.code) == ("overloaded", 503, 1013)


async def test_room_that_orders_leave_is_used_again(narrow: RunningApi, database_url: str, redis_url: str) -> None:
    """By whatever end they find, and whoever counts them."""
    placed = await fill(narrow)
    publisher = live.Publisher(live.connect(redis_url))
    async with open_pool(database_url, size=1, name="worker") as pool:
        worker = WorkerDouble(pool, publisher)
        await worker.move(placed[0], Status.ROUTING, Status.FAILED)
        await narrow.post(f"/api/orders/{placed[1]}/cancel")
    await publisher.close()

    async def taken() -> bool:
        return (await narrow.post("/api/orders/execute", BODY)).status == 202

    await eventually(taken)
    await eventually(taken)
    (await narrow.post("/api/orders/execute", BODY)).problem(503, "overloaded")


async def test_what_another_api_takes_counts_too(narrow: RunningApi, database_url: str, redis_url: str) -> None:
    """From the next count on."""
    async with running_api(database_url, redis_url) as other:
        await fill(other)

    async def refused() -> bool:
        return (await narrow.post("/api/orders", BODY)).status == 503

    await eventually(refused)
