"""Clients that break a connection while the application is at work on it: it hears of it, and the log does not."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from engine_api.connections.http import HttpConnection
from engine_api.connections.websocket import SocketConnection
from integration.api.running_api import BODY, RunningApi

HANDSHAKE = (
    b"%b /ws?wallet=w HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
UNMASKED = b"\x81\x01x"


class SlowApp:
    """An application that is slow to answer, and keeps what became of its answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.outcomes: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        self.asked.set()
        await self.may_answer.wait()
        try:
            if scope["type"] == "websocket":
                await send({"type": "websocket.send", "text": "late"})
            else:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body"})
        except OSError as error:
            self.outcomes.put_nowait(error)
        else:
            self.outcomes.put_nowait(None)


class Wire(asyncio.Transport):
    """What a connection writes to; when it is lost is the test's to say."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connected(kind: Callable[..., Any], app: SlowApp) -> tuple[Any, Wire]:
    """Return a new connection and its wire."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    connection = kind(config=config, server_state=ServerState(), app_state={})
    wire = Wire()
    connection.connection_made(wire)
    return connection, wire


async def exchange(port: int, said: bytes) -> bytes:
    """Say it and return everything that is answered until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    async with asyncio.timeout(30):
        heard = await reader.read()
    writer.close()
    return heard


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_socket_that_breaks_the_rules_is_gone_for_whoever_sends(caplog: pytest.LogCaptureFixture) -> None:
    """Not an error of the application's, even where the connection still has to be closed."""
    app = SlowApp()
    connection, wire = connected(partial(SocketConnection, access_log=False), app)
    connection.data_received(HANDSHAKE % b"GET")
    await app.asked.wait()
    connection.data_received(UNMASKED)
    assert wire.closing
    app.may_answer.set()
    assert isinstance(await app.outcomes.get(), OSError)
    assert complaints(caplog) == []


async def test_a_client_that_is_gone_before_its_handshake_is_accepted_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The handshake cannot be answered any more, and nothing after it can be sent."""
    app = SlowApp()
    app.may_answer.set()
    connection, wire = connected(partial(SocketConnection, access_log=False), app)
    connection.data_received(HANDSHAKE % b"GET")
    wire.close()
    await asyncio.gather(*connection.tasks)
    assert complaints(caplog) == []


async def test_a_socket_that_answers_no_ping_is_gone_for_whoever_sends(caplog: pytest.LogCaptureFixture) -> None:
    """As long as its buffers are not taken the connection cannot even be closed."""
    app = SlowApp()
    connection, wire = connected(partial(SocketConnection, access_log=False), app)
    connection.data_received(HANDSHAKE % b"GET")
    await app.asked.wait()
    connection.keepalive_timeout()
    assert wire.closing
    app.may_answer.set()
    assert isinstance(await app.outcomes.get(), OSError)
    assert complaints(caplog) == []


async def test_pipelined_requests_of_a_client_that_vanished_end_quietly() -> None:
    """The first of them, which is under way, included: nothing is written to a connection that is gone."""
    app = SlowApp()
    connection, wire = connected(partial(HttpConnection, patience_s=30, access_log=False), app)
    connection.data_received(b"GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /second HTTP/1.1\r\nhost: x\r\n\r\n")
    await app.asked.wait()
    connection.connection_lost(ConnectionResetError())
    app.may_answer.set()
    assert await app.outcomes.get() is None
    assert wire.written == b""


async def test_rubbish_behind_an_order_does_not_take_the_orders_answer(api: RunningApi, wallet: str) -> None:
    """A 400 in its place would say that nothing was stored."""
    body = json.dumps(BODY | {"userWallet": wallet}).encode()
    head = b"POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    heard = await exchange(api.port, head % len(body) + body + b"\x00\x01rubbish\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nconnection: close\r\n" in heard
    assert heard.count(b"HTTP/1.1 ") == 1
    stored = (await api.get(f"/api/orders/user/{wallet}")).json["data"]
    assert [order["orderId"] for order in stored] == [json.loads(heard.partition(b"\r\n\r\n")[2])["orderId"]]


async def test_rubbish_in_a_body_is_answered_at_once(api: RunningApi) -> None:
    """The request that it belongs to is not complete, and never will be."""
    head = (
        b"POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    heard = await exchange(api.port, head + b"rubbish\r\n")
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in heard


@pytest.mark.parametrize(
    "said", [HANDSHAKE % b"HEAD", b"HEAD /\x00 HTTP/1.1\r\nhost: x\r\n\r\n"], ids=["handshake", "malformed"]
)
async def test_an_answer_to_head_has_no_body(api: RunningApi, said: bytes) -> None:
    """Whatever was wrong with the question: what follows the head would be taken for the next answer."""
    _, _, body = (await exchange(api.port, said.replace(b"host: x", b"host: x\r\nconnection: close"))).partition(
        b"\r\n\r\n"
    )
    assert body == b""
