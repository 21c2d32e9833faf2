"""Live events of a wallet's orders, as a client sees them arrive on one WebSocket."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

_TERMINAL = ("confirmed", "failed", "cancelled")
_TERMINAL_WITHIN_S = 15.0


class WalletStream:
    """Notes when events arrive; knows when an order has ended."""

    def __init__(self, ended_within_s: float = _TERMINAL_WITHIN_S) -> None:
        self.routing_arrived_at: dict[bytes, float] = {}
        """order ids and seconds since 1970"""
        self._ended_within_s = ended_within_s
        self._ended: defaultdict[bytes, asyncio.Event] = defaultdict(asyncio.Event)

    def take(self, message: str | bytes) -> None:
        """Take an event that has just arrived."""
        now = time.time()
        event = orjson.loads(message)
        order_id = event["orderId"].encode()
        if event["status"] == "routing" and event["type"] == "status":
            self.routing_arrived_at[order_id] = now
        if event["status"] in _TERMINAL:
            self._ended[order_id].set()

    async def ended(self, order_id: bytes) -> None:
        """Wait until the order has ended. Raises TimeoutError."""
        async with asyncio.timeout(self._ended_within_s):
            await self._ended[order_id].wait()

    async def read(self, socket: ClientConnection) -> None:
        """Take everything that arrives."""
        with suppress(ConnectionClosed):
            async for message in socket:
                self.take(message)


@asynccontextmanager
async def watched(api_url: str, wallet: str) -> AsyncGenerator[WalletStream]:
    """Lend the stream of a wallet's events. Raises OSError and websockets.exceptions.WebSocketException."""
    url = f"ws{api_url.removeprefix('http')}/ws?wallet={wallet}"
    stream = WalletStream()
    async with connect(url, compression=None, max_queue=None) as socket:
        reading = asyncio.create_task(stream.read(socket))
        try:
            yield stream
        finally:
            reading.cancel()
