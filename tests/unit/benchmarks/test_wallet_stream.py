import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from benchmarks.wallet_stream import WalletStream, watched
from websockets.asyncio.server import ServerConnection, serve

EVENTS: Sequence[dict[str, Any]] = [
    {"orderId": "a", "type": "status", "status": "queued"},
    {"orderId": "a", "type": "status", "status": "routing"},
    {"orderId": "b", "type": "retrying", "status": "routing"},
    {"orderId": "a", "type": "status", "status": "confirmed"},
]


async def test_events_are_noted_as_they_arrive() -> None:
    """One socket is enough for all orders of a wallet."""
    paths: list[str] = []

    async def send(socket: ServerConnection) -> None:
        assert socket.request is not None
        paths.append(socket.request.path)
        for event in EVENTS:
            await socket.send(orjson.dumps(event).decode())
        await socket.wait_closed()

    began = time.time()
    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with watched(f"http://127.0.0.1:{port}", "wallet-1") as stream:
            async with asyncio.timeout(5):
                await stream.ended(b"a")
            assert set(stream.routing_arrived_at) == {b"a"}
            assert began < stream.routing_arrived_at[b"a"] < time.time()
    assert paths == ["/ws?wallet=wallet-1"]


async def test_an_order_whose_end_never_arrives_is_not_waited_for_for_ever() -> None:
    """The run fails instead."""
    stream = WalletStream(ended_within_s=0.05)
    with pytest.raises(TimeoutError):
        await stream.ended(b"a")
