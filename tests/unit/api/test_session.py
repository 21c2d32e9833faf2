"""A stream and the answers to unexpected messages share a socket: a client that leaves is no error of either."""

import asyncio
from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine_api.streams.session import send_text, until_gone


class Client:
    """A client that says one thing and is gone as soon as something is sent to it."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.incoming.put_nowait({"type": "websocket.receive", "text": "{}"})
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            self.left.set()
            raise OSError("the client is gone")


async def test_a_client_that_is_found_gone_by_two_senders_at_once_is_just_gone() -> None:
    """The second to find out is told by the framework that it must not send any more, which is no bug of ours."""
    client = Client()
    scope: dict[str, Any] = {"type": "websocket", "headers": [], "path": "/ws", "query_string": b"", "state": {}}
    socket = WebSocket[Any](scope, client.receive, client.send)
    await socket.accept()

    async def stream() -> None:
        await client.left.wait()
        await send_text(socket, "an event")

    with pytest.raises(WebSocketDisconnect):
        await until_gone(socket, stream())
