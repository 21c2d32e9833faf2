"""WebSockets that are refused: the handshake is accepted, and the close says why."""

import asyncio
import contextlib
import json

import pytest
import websockets

from integration.api.running_api import BODY, UNKNOWN, RunningApi, running_api


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/ws/orders/{UNKNOWN}", 4004),
        ("/ws/orders/not-an-id", 4004),
        ("/ws/orders/%00", 4004),
        (f"/api/orders/execute?orderId={UNKNOWN}", 4004),
        ("/api/orders/execute?orderId=", 4004),
        ("/ws", 4422),
        ("/ws?wallet=", 4422),
        ("/ws?wallet=%00", 4422),
        ("/ws?wallet=" + "w" * 65, 4422),
        ("/ws?wallet=a&userId=b", 4422),
        ("/ws?wallet=a&wallet=a", 4422),
        ("/ws?wallet=a&since=yesterday", 4422),
        ("/ws?wallet=a&since=2026-01-31T12:00:00", 4422),
        ("/ws?wallet=a&since=0001-01-01T00:00:00%2B23:00", 4422),
        ("/ws?wallet=a&since=9999-12-31T23:59:59-23:00", 4422),
    ],
)
async def test_the_close_code_says_what_is_wrong(api: RunningApi, path: str, code: int) -> None:
    """And the reason says it in words."""
    async with api.listening(path) as ear:
        assert await ear.closed() == code
        assert ear.connection.protocol.close_rcvd is not None
        assert ear.connection.protocol.close_rcvd.reason


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "2", "99999999999999999999", "1&after=1"])
async def test_a_position_that_cannot_be_is_refused(api: RunningApi, after: str) -> None:
    """Not a number, or beyond the order's last event."""
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}?after={after}") as ear:
        assert await ear.closed() == 4422


@pytest.mark.parametrize(
    ("message", "code", "problem"),
    [
        ("{", 4422, "not_json"),
        ("", 4422, "not_json"),
        (b"\xff", 4422, "not_json"),
        ("[" * 10_000, 4422, "not_json"),
        ("[]", 4422, "invalid_order"),
        ('{"tokenIn": "DOGE"}', 4422, "invalid_order"),
        (json.dumps(BODY | {"userWallet": "a\0"}), 4422, "invalid_order"),
        (json.dumps(BODY | {"type": "LIMIT"}), 4422, "unsupported_type"),
    ],
)
async def test_a_refused_order_on_the_socket_is_answered_with_the_problem(
    api: RunningApi, message: str | bytes, code: int, problem: str
) -> None:
    """The document that HTTP would answer with, then the close."""
    async with api.listening("/api/orders/execute") as ear:
        await ear.connection.send(message)
        (document,) = await ear.hear(1)
        assert (document["code"], document["status"] // 100) == (problem, 4)
        assert await ear.closed() == code


@pytest.mark.parametrize("after", ["abc", "-1", "", "5", "1", "0&after=0"])
async def test_a_position_in_an_order_yet_to_be_made_is_refused_before_it_is(
    api: RunningApi, wallet: str, after: str
) -> None:
    """Nothing is stored: a client that hears of a mistake may send the order again."""
    async with api.listening(f"/api/orders/execute?after={after}") as ear:
        with contextlib.suppress(websockets.ConnectionClosed):  # nobody waits for the body to refuse it
            await ear.connection.send(json.dumps(BODY | {"userWallet": wallet}))
        (document,) = await ear.hear(1)
        assert (document["code"], [error["field"] for error in document["errors"]]) == ("invalid_parameter", ["after"])
        assert await ear.closed() == 4422
    assert (await api.get(f"/api/orders/user/{wallet}")).json["data"] == []


async def test_the_beginning_is_no_position_to_refuse(api: RunningApi) -> None:
    """`after=0` says what is meant without it."""
    async with api.listening("/api/orders/execute?after=0") as ear:
        await ear.connection.send(json.dumps(BODY))
        (event,) = await ear.hear(1)
    assert (event["seq"], event["status"]) == (1, "queued")


async def test_a_message_beyond_the_bound_closes_the_socket(api: RunningApi) -> None:
    """64 KiB, as for a body."""
    async with api.listening("/api/orders/execute") as ear:
        with_padding = json.dumps(BODY) + " " * (64 * 1024)
        await ear.connection.send(with_padding)
        assert await ear.closed() == 1009


async def test_a_client_that_says_nothing_may_leave(api: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word in the log, in the handshake or after it."""
    async with api.listening("/api/orders/execute"):
        pass
    order_id = await api.place()
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        ear.connection.transport.abort()
    async with api.listening("/ws?wallet=nobody") as ear:
        ear.connection.transport.abort()
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"GET /ws?wallet=w HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await writer.drain()
    writer.transport.abort()
    await asyncio.sleep(0.2)
    assert (await api.get("/livez")).status == 200
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_pages_of_other_origins_may_not_connect(shared_database_url: str, redis_url: str) -> None:
    """Browsers ask no permission for a WebSocket, so the api looks itself; what is no browser has no origin."""
    origins = ("https://desk.example",)
    async with running_api(shared_database_url, redis_url, allowed_origins=origins) as api:
        for origin, code in (("https://evil.example", 4401), ("https://desk.example", 4004), (None, 4004)):
            async with api.listening(f"/ws/orders/{UNKNOWN}", origin=origin) as ear:
                assert await ear.closed() == code
        preflight = {"origin": "https://desk.example", "access-control-request-method": "POST"}
        answer = await api.ask("OPTIONS", "/api/orders", headers=preflight)
        assert answer.headers["access-control-allow-origin"] == "https://desk.example"
        answer = await api.get("/livez", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


async def test_without_a_list_only_pages_of_the_apis_own_origin_may_connect(api: RunningApi) -> None:
    """As with CORS: else any page that a developer visits could place orders on his machine."""
    for origin, code in (("https://evil.example", 4401), ("null", 4401), (api.url, 4004), (None, 4004)):
        async with api.listening(f"/ws/orders/{UNKNOWN}", origin=origin) as ear:
            assert await ear.closed() == code


async def test_an_address_without_a_socket_says_so(api: RunningApi) -> None:
    """By a close code, as every refusal of a WebSocket."""
    for path in ("/ws/nothing", "/", "/api/orders", "/livez"):
        async with api.listening(path) as ear:
            assert await ear.closed() == 4004
