"""A stream and the answers to unexpected messages share a socket: a client that leaves is no error of either."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine_api.access.keys import ANYBODY, Keyring
from engine_api.access.presence import Presence
from engine_api.streams.session import FINISHED, Farewell, Socket, send_text, serving, until_gone

STATE: dict[str, Any] = {
    "allowed_origins": frozenset[str](),
    "doors": SimpleNamespace(presence=Presence(Keyring(None), 10)),
}


class Client:
    """A client that says one thing and is gone as soon as something is sent to it."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.incoming.put_nowait({"type": "websocket.receive", "text": "{}"})
        self.left = asyncio.Event()
        self.closes = 0

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            self.left.set()
            raise OSError("the client is gone")
        self.closes += message["type"] == "websocket.close"


@pytest.fixture
async def client() -> Client:
    """Return a client that asks for a socket."""
    return Client()


def socket_of(client: Client) -> WebSocket[Any]:
    scope: dict[str, Any] = {"type": "websocket", "headers": [], "path": "/ws", "query_string": b"", "state": STATE}
    return WebSocket[Any](scope | {"caller": ANYBODY}, client.receive, client.send)


async def test_a_client_that_is_found_gone_by_two_senders_at_once_is_just_gone(client: Client) -> None:
    """The second to find out is told by the framework that it must not send any more, which is no bug of ours."""
    socket = socket_of(client)
    await socket.accept()

    async def stream() -> None:
        await client.left.wait()
        await send_text(socket, "an event")

    with pytest.raises(WebSocketDisconnect):
        await until_gone(socket, stream())


async def test_a_client_that_leaves_as_its_stream_ends_needs_no_farewell(client: Client) -> None:
    """The answer to its last message has found it gone, and the stream has ended as it should."""

    @serving
    async def handler(socket: Socket) -> Farewell:
        async def stream() -> None:
            await client.left.wait()

        await until_gone(socket, stream())
        return Farewell(FINISHED)

    await handler(socket_of(client))
    assert client.closes == 0
