"""The bound on pending orders of an account: they are never executed by themselves, and so would pile up."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from engine_common.store import reading
from engine_common.store.pool import Pool
from integration.api.running_api import BODY, RunningApi, running_api
from support.waiting import eventually

BOUND = 5


@pytest.fixture
async def narrow(database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api that takes few pending orders."""
    async with running_api(database_url, redis_url, engine_max_pending_per_account=BOUND) as api:
        yield api


async def fill(api: RunningApi, count: int = BOUND) -> list[UUID]:
    return [await api.place("/api/orders") for _ in range(count)]


async def test_beyond_the_bound_no_pending_order_is_taken(narrow: RunningApi, pool: Pool) -> None:
    """A burst through the group commit does not get past it, and the answer says what to do."""
    answers = await asyncio.gather(*(narrow.post("/api/orders", BODY) for _ in range(20 * BOUND)))
    refused = [answer for answer in answers if answer.status != 201]
    assert len(refused) == 19 * BOUND
    for answer in refused:
        problem = answer.problem(429, "too_many_pending")
        assert str(BOUND) in problem["detail"]
        assert "execute or cancel" in problem["detail"]
        assert int(answer.headers["retry-after"]) > 0
    async with pool.connection() as connection:
        assert await reading.count_pending(connection, "default", at_most=1000) == BOUND


async def test_a_bound_above_one_share_is_kept_exactly(database_url: str, redis_url: str, pool: Pool) -> None:
    """Also where several counts are needed on the way."""
    bound = 173
    async with running_api(database_url, redis_url, engine_max_pending_per_account=bound) as api:
        answers = await asyncio.gather(*(api.post("/api/orders", BODY) for _ in range(400)))
        assert {answer.status for answer in answers} == {201, 429}

        async def pending() -> int:
            async with pool.connection() as connection:
                return await reading.count_pending(connection, "default", at_most=1000)

        async def filled() -> bool:  # a burst may be refused a little early: what is under way counts twice
            await api.post("/api/orders", BODY)
            return await pending() == bound

        await eventually(filled)
        for _ in range(3):
            (await api.post("/api/orders", BODY)).problem(429, "too_many_pending")
        assert await pending() == bound


async def test_what_is_executed_is_not_bounded_by_it(narrow: RunningApi) -> None:
    """An order that is created and executed was never pending."""
    await fill(narrow)
    for _ in range(2 * BOUND):
        assert (await narrow.post("/api/orders/execute", BODY)).status == 202
    (await narrow.post("/api/orders", BODY)).problem(429, "too_many_pending")


@pytest.mark.parametrize("verb", ["execute", "cancel"])
async def test_room_that_a_pending_order_leaves_is_used_again(narrow: RunningApi, verb: str) -> None:
    """Within a second, whichever way it leaves."""
    placed = await fill(narrow)
    (await narrow.post("/api/orders", BODY)).problem(429, "too_many_pending")
    assert (await narrow.post(f"/api/orders/{placed[0]}/{verb}")).status in (200, 202)

    async def taken() -> bool:
        return (await narrow.post("/api/orders", BODY)).status == 201

    await eventually(taken)
    (await narrow.post("/api/orders", BODY)).problem(429, "too_many_pending")


async def test_a_repeated_request_gets_its_order_at_the_bound(narrow: RunningApi) -> None:
    """The key is looked up before the refusal; another order under the same key is still an error."""
    first = await narrow.post("/api/orders", BODY, key="mine")
    await fill(narrow, BOUND - 1)
    again = await narrow.post("/api/orders", BODY, key="mine")
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json["orderId"] == first.json["orderId"]
    (await narrow.post("/api/orders", BODY | {"amountIn": "2"}, key="mine")).problem(422, "idempotency_key_reused")
    (await narrow.post("/api/orders", BODY, key="another")).problem(429, "too_many_pending")


async def test_repeated_requests_take_no_room(narrow: RunningApi) -> None:
    """Whoever repeats one request often still has room for others."""
    for _ in range(3 * BOUND):
        assert (await narrow.post("/api/orders", BODY, key="mine")).status == 201

    async def taken() -> bool:
        return (await narrow.post("/api/orders", BODY)).status == 201

    for _ in range(BOUND - 1):
        await eventually(taken)
    (await narrow.post("/api/orders", BODY)).problem(429, "too_many_pending")


async def test_accounts_have_their_room_each(database_url: str, redis_url: str) -> None:
    """One that is full keeps nobody else out."""
    keys = {"api_keys": "a:key-of-a,b:key-of-b", "engine_max_pending_per_account": BOUND}
    async with running_api(database_url, redis_url, **keys) as api:
        full, other = api.holding("key-of-a"), api.holding("key-of-b")
        await fill(full)
        (await full.post("/api/orders", BODY)).problem(429, "too_many_pending")
        await fill(other)


async def test_what_other_apis_store_counts_too(narrow: RunningApi, database_url: str, redis_url: str) -> None:
    """From the next count on, at most a second later."""
    async with running_api(database_url, redis_url, engine_max_pending_per_account=BOUND) as other:
        await fill(narrow, 1)
        await fill(other, BOUND - 1)

        async def refused(api: RunningApi) -> bool:
            return (await api.post("/api/orders", BODY)).status == 429

        for api in (narrow, other):
            await eventually(lambda api=api: refused(api))


async def test_several_apis_keep_the_bound_within_the_documented_margin(
    database_url: str, redis_url: str, pool: Pool
) -> None:
    """Each beyond the first may exceed it by 50, however large the burst."""
    bound, apis = 60, 3
    async with (
        running_api(database_url, redis_url, engine_max_pending_per_account=bound) as first,
        running_api(database_url, redis_url, engine_max_pending_per_account=bound) as second,
        running_api(database_url, redis_url, engine_max_pending_per_account=bound) as third,
    ):
        everywhere = (first, second, third)
        await asyncio.gather(*(api.post("/api/orders", BODY) for _ in range(200) for api in everywhere))
        async with pool.connection() as connection:
            assert bound <= await reading.count_pending(connection, "default", at_most=1000) <= bound + (apis - 1) * 50
