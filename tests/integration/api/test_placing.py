"""Orders that are accepted: what is stored, what is answered, and who hears of it."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis

from engine_common.queue import QUEUE
from engine_common.store import reading
from engine_common.store.pool import Pool
from integration.api.running_api import BODY, RunningApi
from support.orders import read
from support.waiting import eventually


def announced(redis: Redis) -> list[str]:
    """Return the order ids in the queue's messages, in the order in which they were sent."""
    ids = redis.lrange(f"dramatiq:{QUEUE}", 0, -1)
    messages = [json.loads(message) for message in redis.hmget(f"dramatiq:{QUEUE}.msgs", ids)] if ids else []
    return [order_id for message in messages for order_id in message["args"][0]]


async def test_create_and_execute_stores_the_order_before_it_answers(api: RunningApi, shared_pool: Pool) -> None:
    """The answer shows the order as it is stored."""
    answer = await api.post(
        "/api/orders/execute", BODY | {"userWallet": "w-1", "minAmountOut": "100", "slippageBps": 75}
    )
    assert answer.status == 202
    document = answer.json
    assert answer.headers["location"] == f"/api/orders/{document['orderId']}"
    async with shared_pool.connection() as connection:
        order = await read(connection, UUID(document["orderId"]))
        events = await reading.read_events(connection, order.id)
    assert (order.status, order.amount_in, order.min_amount_out, order.slippage_bps) == (
        "queued",
        1_500_000_000,
        100_000_000,
        75,
    )
    assert [(event.seq, event.status, event.previous_status) for event in events] == [(1, "queued", None)]
    assert (await api.get(answer.headers["location"])).json == document


async def test_the_answer_is_the_order_object_to_the_letter(api: RunningApi) -> None:
    """Every member is there from the beginning, and what is not known yet is null."""
    document = (await api.post("/api/orders/execute", BODY)).json
    moment = document.pop("createdAt")
    assert datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").microsecond % 1000 == 0  # noqa: DTZ007 - the Z is text
    assert UUID(document.pop("orderId")).version == 7
    assert len(document.pop("traceId")) == 32
    assert document.pop("updatedAt") == moment
    assert document == {
        "status": "queued",
        "type": "MARKET",
        "tokenIn": "SOL",
        "tokenOut": "USDC",
        "amountIn": "1.5",
        "slippageBps": 50,
        "minAmountOut": None,
        "effectiveMinAmountOut": None,
        "userWallet": "anonymous",
        "venue": None,
        "amountOut": None,
        "executionPrice": None,
        "txHash": None,
        "attempt": 1,
        "errorCode": None,
        "errorReason": None,
        "version": 1,
        "routing": None,
        "cancelRequestedAt": None,
        "landedAt": None,
    }


async def test_create_stores_a_pending_order_that_nobody_is_told_to_execute(api: RunningApi, redis: Redis) -> None:
    """It waits for its execution to be asked for."""
    answer = await api.post("/api/orders", BODY)
    assert (answer.status, answer.json["status"]) == (201, "pending")
    queued = await api.place()
    await eventually(lambda: announced(redis) == [str(queued)])


async def test_workers_are_told_of_every_order_to_execute(api: RunningApi, redis: Redis) -> None:
    """Orders that come together go in few messages, each of which the queue's contract allows."""
    placed = {str(await api.place()) for _ in range(5)}
    await eventually(lambda: set(announced(redis)) == placed)


# Every call of the table of earlier engines, and its meaning.
EARLIER_CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "/orders",
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": 2, "userId": "user-1"},
        {"amountIn": "2", "userWallet": "user-1"},
    ),
    (
        "/api/orders/execute",
        {"inputToken": "USDC", "outputToken": "SOL", "inputAmount": 25.5, "userWallet": "w"},
        {"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "25.5", "userWallet": "w"},
    ),
    (
        "/api/orders/execute",
        {"tokenIn": "BONK", "tokenOut": "SOL", "amountIn": "1000000.12345", "userId": "user-2"},
        {"tokenIn": "BONK", "amountIn": "1000000.12345", "userWallet": "user-2", "type": "MARKET", "slippageBps": 50},
    ),
]


@pytest.mark.parametrize(("path", "body", "meaning"), EARLIER_CALLS)
async def test_clients_of_earlier_engines_place_orders_unchanged(
    api: RunningApi, path: str, body: dict[str, Any], meaning: dict[str, Any]
) -> None:
    """Their paths and spellings mean the same, and the order's id stands at the top level of the answer."""
    answer = await api.post(path, body)
    assert answer.status == 202
    assert UUID(answer.json["orderId"])
    assert answer.json["status"] == "queued"
    assert answer.json.items() >= meaning.items()


@pytest.mark.parametrize(
    ("spelt", "shown"),
    [
        ({"tokenIn": "sol", "tokenOut": "usdc"}, {"tokenIn": "SOL", "tokenOut": "USDC"}),
        ({"tokenIn": "So11111111111111111111111111111111111111112"}, {"tokenIn": "SOL"}),
        ({"amountIn": 0.123456789}, {"amountIn": "0.123456789"}),
        ({"amountIn": "1.50"}, {"amountIn": "1.5"}),
        ({"amountIn": "15e-1"}, {"amountIn": "1.5"}),
        ({"amountIn": "18446744073.709551615"}, {"amountIn": "18446744073.709551615"}),
        ({"slippageBps": None, "minAmountOut": None, "userWallet": None, "type": None}, {"slippageBps": 50}),
        ({"slippageBps": 0}, {"slippageBps": 0}),
        ({"slippageBps": 10000}, {"slippageBps": 10000}),
        ({"minAmountOut": "0.000001"}, {"minAmountOut": "0.000001"}),
        ({"userWallet": "~" * 64}, {"userWallet": "~" * 64}),
    ],
)
async def test_an_order_may_be_spelt_in_many_ways(
    api: RunningApi, spelt: dict[str, Any], shown: dict[str, Any]
) -> None:
    """What is stored is exact, and is shown in one form."""
    answer = await api.post("/api/orders/execute", BODY | spelt)
    assert answer.status == 202, answer.text
    assert answer.json.items() >= shown.items()


async def test_a_number_never_passes_through_a_float(api: RunningApi) -> None:
    """A float would make 9007199254.740993 of it, and 568 of the digits …567 elsewhere."""
    answer = await api.post("/api/orders", b'{"tokenIn":"SOL","tokenOut":"USDC","amountIn":9007199254.740992999}')
    assert answer.json["amountIn"] == "9007199254.740992999"


async def test_the_order_belongs_to_the_trace_of_its_request(api: RunningApi, shared_pool: Pool) -> None:
    """The client's context is kept with the order, for everything that happens to it later."""
    trace_id = uuid4().hex
    answer = await api.post("/api/orders/execute", BODY, headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert answer.json["traceId"] == trace_id
    async with shared_pool.connection() as connection:
        order = await read(connection, UUID(answer.json["orderId"]))
    assert order.traceparent.split("-")[1] == trace_id
