"""The same request twice is one order."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from engine_common.store import reading
from engine_common.store.pool import Pool
from integration.api.running_api import BODY, RunningApi
from integration.api.test_placing import announced
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.waiting import eventually


@pytest.fixture
def key(wallet: str) -> str:
    """Return a key that no other test uses."""
    return f"key of {wallet}"


async def test_a_repeated_request_gets_the_first_ones_order(api: RunningApi, key: str) -> None:
    """The repetition says that it is one."""
    first = await api.post("/api/orders/execute", BODY, key=key)
    again = await api.post("/api/orders/execute", BODY, key=key)
    assert (first.status, again.status) == (202, 202)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json == first.json


async def test_a_repetition_shows_the_order_as_it_stands_now(api: RunningApi, key: str, worker: WorkerDouble) -> None:
    """It is the original order, not a copy of the original answer."""
    order_id = await api.place(userWallet=key[:60])
    first = await api.post("/api/orders/execute", BODY, key=key)
    assert first.json["orderId"] != str(order_id)
    await worker.move(first.json["orderId"], *TO_CONFIRMED)
    again = await api.post("/api/orders/execute", BODY, key=key)
    assert (again.status, again.json["status"], again.json["orderId"]) == (202, "confirmed", first.json["orderId"])


SAME: list[tuple[str, dict[str, Any]]] = [
    ("/api/orders/execute", BODY | {"amountIn": 1.5}),
    ("/api/orders/execute", BODY | {"amountIn": "1.500"}),
    ("/api/orders/execute", BODY | {"slippageBps": 50, "type": "MARKET", "userWallet": "anonymous"}),
    ("/api/orders/execute", {"inputToken": "sol", "outputToken": "USDC", "inputAmount": "15e-1"}),
    ("/orders", BODY | {"userId": "anonymous", "minAmountOut": None}),
]


@pytest.mark.parametrize(("path", "body"), SAME)
async def test_the_same_order_may_be_spelt_differently(
    api: RunningApi, key: str, path: str, body: dict[str, Any]
) -> None:
    """What counts is what is asked for."""
    first = await api.post("/api/orders/execute", BODY, key=key)
    again = await api.post(path, body, key=key)
    assert again.status == 202, again.text
    assert (again.json["orderId"], again.headers["idempotency-replayed"]) == (first.json["orderId"], "true")


async def test_a_key_may_be_quoted_or_not(api: RunningApi, key: str) -> None:
    """As the standard wants it, and as clients send it."""
    first = await api.post("/api/orders/execute", BODY, key=key)
    again = await api.post("/api/orders/execute", BODY, key=f'"{key}"')
    assert again.json["orderId"] == first.json["orderId"]


DIFFERENT: list[tuple[str, dict[str, Any]]] = [
    ("/api/orders/execute", BODY | {"amountIn": "1.6"}),
    ("/api/orders/execute", BODY | {"tokenOut": "USDT"}),
    ("/api/orders/execute", BODY | {"slippageBps": 51}),
    ("/api/orders/execute", BODY | {"minAmountOut": "1"}),
    ("/api/orders/execute", BODY | {"userWallet": "another"}),
    ("/api/orders", BODY),
]


@pytest.mark.parametrize(("path", "body"), DIFFERENT)
async def test_a_key_cannot_be_used_for_another_order(
    api: RunningApi, key: str, path: str, body: dict[str, Any]
) -> None:
    """Nor for the same order with another operation."""
    await api.post("/api/orders/execute", BODY, key=key)
    (await api.post(path, body, key=key)).problem(422, "idempotency_key_reused")


async def test_fifty_equal_requests_at_once_are_one_order(
    api: RunningApi, key: str, wallet: str, redis: Redis, shared_pool: Pool
) -> None:
    """All get the same id; one of them created it, and it is announced once."""
    body = BODY | {"userWallet": wallet}
    answers = await asyncio.gather(*(api.post("/api/orders/execute", body, key=key) for _ in range(50)))
    assert {answer.status for answer in answers} == {202}
    (order_id,) = {answer.json["orderId"] for answer in answers}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    async with shared_pool.connection() as connection:
        assert len(await reading.list_orders(connection, "default", limit=10, wallet=wallet)) == 1
        assert len(await reading.read_events(connection, answers[0].json["orderId"])) == 1
    last = await api.place()
    await eventually(lambda: str(last) in announced(redis))
    assert announced(redis).count(order_id) == 1


async def test_fifty_equal_requests_with_two_orders_are_one_order_and_refusals(api: RunningApi, key: str) -> None:
    """Whichever comes first has the key."""
    bodies = [BODY | {"amountIn": str(1 + number % 2)} for number in range(50)]
    answers = await asyncio.gather(*(api.post("/api/orders/execute", body, key=key) for body in bodies))
    assert len({answer.json["orderId"] for answer in answers if answer.status == 202}) == 1
    assert [answer.status for answer in answers].count(202) == 25
    for answer in answers:
        if answer.status != 202:
            answer.problem(422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ['"', "k" * 255, '"' + "k" * 255 + '"', "~!#$%&'()*+,-./ x"])
async def test_keys_are_any_printable_ascii(api: RunningApi, key: str) -> None:
    """Up to 255 characters of them, quotes aside."""
    assert (await api.post("/api/orders/execute", BODY, key=key)).status == 202


@pytest.mark.parametrize("key", ["", "k" * 256, "käse", '"' + "k" * 256 + '"', "a\tb"])
async def test_a_malformed_key_is_refused(api: RunningApi, key: str) -> None:
    """It is named as the header that it is."""
    answer = await api.post("/api/orders/execute", BODY, key=key)
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == {"Idempotency-Key"}
