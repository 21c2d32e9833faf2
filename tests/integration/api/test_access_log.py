"""The access log: each request and socket leaves a line that names the order, and nothing that the client must hide."""

import asyncio
import json
from typing import Any

import pytest

from integration.api.running_api import BODY
from integration.api.test_process import environment, process

SECRET = "k-0123456789abcdef"


def lines_of(log: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def send_raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


async def test_every_request_leaves_one_line_that_names_its_order_and_no_secret(
    shared_database_url: str, redis_url: str
) -> None:
    """Created, read, refused: method, route, status, duration, account, request id, trace id and order id."""
    variables = {"API_KEYS": f"alice:{SECRET}"}
    async with process(environment(shared_database_url, redis_url, **variables)) as running:
        api = running.api.holding(SECRET)
        placed = await api.post("/api/orders/execute", BODY | {"userWallet": "body-secret"})
        order_id = placed.json["orderId"]
        await api.get(f"/api/orders/{order_id}")
        await api.get("/api/orders/address-secret")
        await api.get("/api/orders?note=query-secret")
        await running.api.get("/api/orders")
        running.terminate()
        _, log = await running.ended()
    requests = lines_of(log, "http.request")
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/api/orders/execute", placed.status),
        ("GET", "/api/orders/{id}", 200),
        ("GET", "unknown", 404),
        ("GET", "/api/orders", 422),
        ("GET", "unknown", 401),
    ]
    assert [line.get("order_id") for line in requests] == [order_id, order_id, None, None, None]
    assert [line.get("account") for line in requests] == ["alice", "alice", "alice", "alice", None]
    assert requests[0]["trace_id"] == placed.json["traceId"]
    assert requests[0]["request_id"] == placed.headers["x-request-id"]
    for line in requests:
        assert line["level"] == "info"
        assert line["duration_ms"] > 0
    for hidden in (SECRET, "query-secret", "body-secret", "address-secret", "127.0.0.1:"):
        assert hidden not in json.dumps(requests)


async def test_an_order_that_its_client_cancels_leaves_the_line_of_its_end(
    shared_database_url: str, redis_url: str
) -> None:
    """No worker says it: the api ended the order. A second request finds it cancelled and logs no second end."""
    async with process(environment(shared_database_url, redis_url)) as running:
        order_id = (await running.api.post("/api/orders", BODY)).json["orderId"]
        for _ in range(2):
            assert (await running.api.post(f"/api/orders/{order_id}/cancel")).status == 200
        running.terminate()
        _, log = await running.ended()
    (end,) = lines_of(log, "order.cancelled")
    assert (end["order_id"], end["source"], end["attempt"], end["level"]) == (order_id, "pending", 1, "info")
    assert end["total_s"] >= 0


async def test_a_socket_leaves_a_line_when_it_opens_and_one_when_it_closes(
    shared_database_url: str, redis_url: str, wallet: str
) -> None:
    """With the close code, the number of messages sent, and the order."""
    async with process(environment(shared_database_url, redis_url)) as running:
        order_id = str(await running.api.place(userWallet=wallet))
        async with running.api.listening(f"/ws/orders/{order_id}?after=0") as ear:
            await ear.hear(1)
        async with running.api.listening("/ws/orders/socket-secret") as ear:
            assert await ear.closed() == 4004
        running.terminate()
        _, log = await running.ended()
    opened, closed = lines_of(log, "websocket.opened"), lines_of(log, "websocket.closed")
    assert [line["route"] for line in opened] == ["/ws/orders/{id}"] * 2
    assert [(line["code"], line["messages_sent"], line.get("order_id")) for line in closed] == [
        (1000, 1, order_id),
        (4004, 0, None),
    ]
    assert "socket-secret" not in log


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\x16\x03\x01 no http\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 40_000 + b"\r\n\r\n", 431, "head_too_large"),
    ],
)
async def test_a_request_that_is_refused_before_the_application_leaves_a_line(
    shared_database_url: str, redis_url: str, data: bytes, status: int, code: str
) -> None:
    """With the request id that its answer has."""
    async with process(environment(shared_database_url, redis_url)) as running:
        answer = await send_raw(running.api.port, data)
        running.terminate()
        _, log = await running.ended()
    (line,) = lines_of(log, "http.refused")
    assert (line["status"], line["code"]) == (status, code)
    assert line["request_id"].encode() in answer


async def test_a_request_whose_head_never_ends_leaves_a_line(shared_database_url: str, redis_url: str) -> None:
    """Its connection is closed without an answer."""
    async with process(environment(shared_database_url, redis_url, CLIENT_PATIENCE_S="0.5")) as running:
        assert await send_raw(running.api.port, b"GET / HTTP/1.1\r\n") == b""
        running.terminate()
        _, log = await running.ended()
    assert 408 in [line["status"] for line in lines_of(log, "http.refused")]


async def test_without_access_log_no_request_leaves_a_line(shared_database_url: str, redis_url: str) -> None:
    """Neither those that reach the application nor those that do not."""
    async with process(environment(shared_database_url, redis_url, ACCESS_LOG="false")) as running:
        await running.api.get("/api/orders")
        await send_raw(running.api.port, b"\x16\x03\x01 no http\r\n\r\n")
        running.terminate()
        _, log = await running.ended()
    assert lines_of(log, "http.request") == lines_of(log, "http.refused") == []
