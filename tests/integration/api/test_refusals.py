"""Requests that are refused: always a problem document that names what is wrong, and nothing is stored."""

import asyncio
import json
from typing import Any

import pytest

from engine_common.store.pool import Pool
from integration.api.running_api import BODY, UNKNOWN, RunningApi, running_api

CREATING = ("/api/orders/execute", "/orders", "/api/orders")


def changed(**fields: Any) -> bytes:
    return json.dumps(BODY | fields).encode()


def raw(fields: str) -> bytes:
    return b'{"tokenIn":"SOL","tokenOut":"USDC",' + fields.encode() + b"}"


WRONG_FIELDS: list[tuple[bytes, set[str]]] = [
    (b"{}", {"tokenIn", "tokenOut", "amountIn"}),
    (changed(tokenIn="DOGE"), {"tokenIn"}),
    (changed(tokenIn=""), {"tokenIn"}),
    (changed(tokenIn=7), {"tokenIn"}),
    (changed(tokenIn=["SOL"]), {"tokenIn"}),
    (changed(tokenIn=None), {"tokenIn"}),
    (changed(tokenOut="S" * 60_000), {"tokenOut"}),
    (changed(tokenOut="\0"), {"tokenOut"}),
    (changed(tokenOut="\ud800"), {"tokenOut"}),
    (changed(tokenOut="SOL"), {"tokenOut"}),
    (changed(tokenOut="So11111111111111111111111111111111111111112"), {"tokenOut"}),
    (changed(amountIn=0), {"amountIn"}),
    (changed(amountIn=-1), {"amountIn"}),
    (changed(amountIn="-0.5"), {"amountIn"}),
    (changed(amountIn=True), {"amountIn"}),
    (changed(amountIn=[1]), {"amountIn"}),
    (changed(amountIn={"a": 1}), {"amountIn"}),
    (changed(amountIn=""), {"amountIn"}),
    (changed(amountIn="one"), {"amountIn"}),
    (changed(amountIn="1_000"), {"amountIn"}),
    (changed(amountIn=" 1"), {"amountIn"}),
    (changed(amountIn="١"), {"amountIn"}),  # noqa: RUF001 - a digit to Python, not to us
    (changed(amountIn="NaN"), {"amountIn"}),
    (changed(amountIn="-Infinity"), {"amountIn"}),
    (raw('"amountIn":NaN'), {"amountIn"}),
    (raw('"amountIn":Infinity'), {"amountIn"}),
    (raw('"amountIn":1e400'), {"amountIn"}),
    (raw('"amountIn":1e-400'), {"amountIn"}),
    (raw('"amountIn":1e999999999999999999999'), {"amountIn"}),
    (raw('"amountIn":1e-999999999999999999999'), {"amountIn"}),
    (raw('"amountIn":' + "9" * 50_000), {"amountIn"}),
    (raw('"amountIn":0.' + "1" * 40), {"amountIn"}),
    (raw('"amountIn":0.1234567891'), {"amountIn"}),
    (changed(amountIn="0." + "0" * 40 + "1"), {"amountIn"}),
    (changed(amountIn="18446744073.709551616"), {"amountIn"}),
    (changed(slippageBps=-1), {"slippageBps"}),
    (changed(slippageBps=10_001), {"slippageBps"}),
    (changed(slippageBps=0.5), {"slippageBps"}),
    (changed(slippageBps="50"), {"slippageBps"}),
    (changed(slippageBps=False), {"slippageBps"}),
    (raw('"amountIn":1,"slippageBps":1e400'), {"slippageBps"}),
    (raw('"amountIn":1,"slippageBps":NaN'), {"slippageBps"}),
    (changed(minAmountOut=0), {"minAmountOut"}),
    (changed(minAmountOut="0.0000001"), {"minAmountOut"}),
    (changed(userWallet=""), {"userWallet"}),
    (changed(userWallet="w" * 65), {"userWallet"}),
    (changed(userWallet="käse"), {"userWallet"}),
    (changed(userWallet="a\0b"), {"userWallet"}),
    (changed(userWallet="line\n"), {"userWallet"}),
    (changed(userWallet=7), {"userWallet"}),
    (changed(type=7), {"type"}),
    (changed(limitPrice="1"), {"limitPrice"}),
    (changed(**{"\ud800": 1}), {"?"}),
    (changed(inputToken="SOL"), {"inputToken"}),
    (changed(userWallet="a", userId="a"), {"userId"}),
    (b'{"inputToken":"DOGE","outputToken":"BTC","inputAmount":"x"}', {"inputToken", "outputToken", "inputAmount"}),
]


@pytest.mark.parametrize("path", CREATING)
async def test_every_wrong_field_is_named_as_the_client_spelt_it(api: RunningApi, path: str) -> None:
    """Whatever stands in a body: 422, the fields, and no order."""
    for body, fields in WRONG_FIELDS:
        answer = await api.post(path, body)
        answer.problem(422, "invalid_order")
        assert answer.fields() == fields, body[:200]
    assert (await api.get("/livez")).status == 200


async def test_refused_requests_store_nothing(database_url: str, redis_url: str, pool: Pool) -> None:
    """Not even their idempotency key, which stays free for the corrected request."""
    async with running_api(database_url, redis_url) as api:
        for body, _ in WRONG_FIELDS:
            (await api.post("/api/orders/execute", body, key="k")).problem(422, "invalid_order")
        (await api.post("/api/orders", changed(type="LIMIT"), key="k")).problem(422, "unsupported_type")
        (await api.post("/api/orders", b"{", key="k")).problem(400, "not_json")
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM order_events)"
            )
            assert await cursor.fetchone() == (0,)
        assert (await api.post("/api/orders/execute", BODY, key="k")).status == 202


@pytest.mark.parametrize("order_type", ["LIMIT", "SNIPER", "market", ""])
async def test_order_types_that_are_not_built_yet_are_named(api: RunningApi, order_type: str) -> None:
    """A client can tell them from a mistake."""
    answer = await api.post("/api/orders/execute", BODY | {"type": order_type})
    answer.problem(422, "unsupported_type")
    assert answer.fields() == {"type"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"order",
        b"{",
        b'{"amountIn": 1,}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"amountIn":"\xed\xa0\x80"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"amountIn": 1, "amountIn": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"userWallet": "a\nb"}',
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_not_json_is_refused(api: RunningApi, body: bytes) -> None:
    """Nor is what two readers could read in two ways."""
    (await api.post("/api/orders/execute", body)).problem(400, "not_json")


@pytest.mark.parametrize("body", [b"[]", b"[1]", b'"text"', b"7", b"null", b"true", b"1e400", b"NaN"])
async def test_an_order_is_an_object(api: RunningApi, body: bytes) -> None:
    """Any other JSON value is refused as an invalid order."""
    (await api.post("/api/orders/execute", body)).problem(422, "invalid_order")


async def test_bodies_are_bounded_by_what_they_say_and_by_what_they_are(api: RunningApi) -> None:
    """64 KiB, announced or streamed; one more is too large."""
    padding = b" " * (64 * 1024)
    body = json.dumps(BODY).encode()
    largest = body + padding[: 64 * 1024 - len(body)]
    assert (await api.post("/api/orders/execute", largest)).status == 202
    (await api.post("/api/orders/execute", largest + b" ")).problem(413, "too_large")
    (await api.post("/api/orders/execute", b"{" + b'"a":' + b'"' + b"x" * 100_000 + b'"}')).problem(413, "too_large")

    async def streamed() -> Any:
        for _ in range(20):
            yield padding[:8192]

    headers = {"content-type": "application/json"}
    (await api.ask("POST", "/api/orders/execute", data=streamed(), headers=headers)).problem(413, "too_large")
    assert (await api.post("/api/orders/execute", BODY)).status == 202


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_bodies_are_json_by_their_content_type(api: RunningApi, content_type: str) -> None:
    """Another type, or none, is refused before the body is looked at."""
    answer = await api.post("/api/orders/execute", BODY, headers={"content-type": content_type})
    answer.problem(415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_content_types_may_have_parameters(api: RunningApi, content_type: str) -> None:
    """As HTTP allows."""
    assert (await api.post("/api/orders/execute", BODY, headers={"content-type": content_type})).status == 202


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/orders", "GET, HEAD, POST"),
        ("PUT", "/api/orders/execute", "POST"),
        ("DELETE", "/orders", "POST"),
        ("PATCH", f"/api/orders/{UNKNOWN}", "GET, HEAD"),
        ("OPTIONS", f"/api/orders/{UNKNOWN}/execute", "POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_which_ones_there_are(
    api: RunningApi, method: str, path: str, allowed: str
) -> None:
    """405 with Allow, which lists the methods of all routes of the path."""
    answer = await api.ask(method, path)
    answer.problem(405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/orders/",
        f"/api/orders/{UNKNOWN}",
        f"/api/orders/{UNKNOWN}/events",
        "/api/orders/1",
        "/api/orders/not-an-id",
        "/api/orders/%00",
        "/api/orders/..%2f..%2fetc",
        f"/api/orders/{UNKNOWN}x/events",
        "/docs",
    ],
)
async def test_what_is_not_there_is_not_found(api: RunningApi, path: str) -> None:
    """Unknown addresses, unknown orders and malformed ids alike."""
    (await api.get(path)).problem(404, "not_found")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", {"limit"}),
        ("limit=501", {"limit"}),
        ("limit=-1", {"limit"}),
        ("limit=1.5", {"limit"}),
        ("limit=", {"limit"}),
        ("limit=" + "9" * 5000, {"limit"}),
        ("limit=%D9%A1", {"limit"}),
        ("limit=1&limit=2", {"limit"}),
        ("cursor=x", {"cursor"}),
        ("cursor=%00", {"cursor"}),
        ("cursor=k%C3%A4se", {"cursor"}),
        ("cursor=" + "A" * 21 + "B", {"cursor"}),
        ("cursor=" + "A" * 1000, {"cursor"}),
        ("status=done", {"status"}),
        ("status=QUEUED", {"status"}),
        ("status=", {"status"}),
        ("type=LIMIT", {"type"}),
        ("wallet=", {"wallet"}),
        ("wallet=%00", {"wallet"}),
        ("wallet=%ff", {"wallet"}),
        ("wallet=" + "w" * 65, {"wallet"}),
        ("limit=x&status=y&cursor=z", {"limit", "status", "cursor"}),
    ],
)
async def test_wrong_parameters_are_named(api: RunningApi, query: str, fields: set[str]) -> None:
    """All of them at once."""
    answer = await api.get(f"/api/orders?{query}")
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == fields


@pytest.mark.parametrize("wallet", ["%00", "w" * 65, "k%C3%A4se", "%ED%A0%80"])
async def test_a_wallet_in_the_path_is_checked_too(api: RunningApi, wallet: str) -> None:
    """It is named as the parameter that it is."""
    answer = await api.get(f"/api/orders/user/{wallet}")
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == {"wallet"}


async def test_a_client_that_leaves_while_it_sends_disturbs_nobody(
    api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    """Its request ends without an answer and without a word in the log."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /api/orders/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
    )
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await api.post("/api/orders/execute", BODY)).status == 202
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_an_error_of_ours_is_a_problem_too_and_is_logged_once(
    database_url: str, redis_url: str, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """It says nothing of what happened inside, but the trace id under which the log has it."""
    async with running_api(database_url, redis_url) as api:
        order_id = await api.place()
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE order_events RENAME TO lost_events")
        for answer in (await api.get(f"/api/orders/{order_id}/events"), await api.post("/api/orders/execute", BODY)):
            problem = answer.problem(500, "internal_error")
            assert "order_events" not in answer.text
            assert problem["retryable"] is False
        async with api.listening(f"/ws/orders/{order_id}") as ear:
            assert await ear.closed() == 1011
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in errors] == [
        f"unexpected error at /api/orders/{order_id}/events",
        "unexpected error at /api/orders/execute",
        f"unexpected error at /ws/orders/{order_id}",
    ]
