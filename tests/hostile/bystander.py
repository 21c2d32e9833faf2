"""A normal client in the middle of an attack: orders, reads, and every order followed to its end."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import websockets

from hostile.case import BODY
from hostile.latencies import Summary, summary

_EVERY_S = 0.1
_FINISH_WITHIN_S = 60.0


class Bystander:
    """Places an order every 100 ms, follows it by WebSocket, reads it, and keeps how long that took."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self.posts: list[float] = []
        self.gets: list[float] = []
        self.finished = 0
        self.complaints: list[str] = []

    @property
    def post_latency(self) -> Summary:
        """How long orders took to be accepted."""
        return summary(self.posts)

    @property
    def get_latency(self) -> Summary:
        """How long reads took."""
        return summary(self.gets)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Go on until the block ends, then finish every order."""
        async with aiohttp.ClientSession(self._url, headers=self._headers) as session:
            ordering = asyncio.create_task(self._order_again_and_again(session))
            try:
                yield
            finally:
                ordering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ordering

    async def _order_again_and_again(self, session: aiohttp.ClientSession) -> None:
        following: set[asyncio.Task[None]] = set()
        try:
            while True:
                task = asyncio.create_task(self._use(session))
                following.add(task)
                task.add_done_callback(following.discard)
                await asyncio.sleep(_EVERY_S)
        finally:
            await asyncio.gather(*following)

    async def _use(self, session: aiohttp.ClientSession) -> None:
        try:
            async with asyncio.timeout(_FINISH_WITHIN_S):
                order_id = await self._place(session)
                await self._read(session, order_id)
                await self._follow(order_id)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, websockets.WebSocketException) as error:
            self.complaints.append(f"{type(error).__name__}: {error}")
        else:
            self.finished += 1

    async def _place(self, session: aiohttp.ClientSession) -> str:
        begun = time.perf_counter()
        async with session.post("/api/orders/execute", json=BODY | {"userWallet": "bystander"}) as answer:
            order = await answer.json(content_type=None)
        self.posts.append(time.perf_counter() - begun)
        if answer.status != 202:
            raise ValueError(f"an order was answered with {answer.status}: {order}")
        return order["orderId"]

    async def _read(self, session: aiohttp.ClientSession, order_id: str) -> None:
        begun = time.perf_counter()
        async with session.get(f"/api/orders/{order_id}") as answer:
            await answer.read()
        self.gets.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise ValueError(f"a read was answered with {answer.status}")

    async def _follow(self, order_id: str) -> None:
        seqs: list[int] = []
        url = f"{self._url.replace('http', 'ws', 1)}/ws/orders/{order_id}"
        async with websockets.connect(url, additional_headers=self._headers, open_timeout=_FINISH_WITHIN_S) as socket:
            async for message in socket:
                seqs.append(json.loads(message)["seq"])
        if not seqs or seqs != list(range(1, len(seqs) + 1)) or socket.close_code != 1000:
            raise ValueError(f"events {seqs} of {order_id}, closed with {socket.close_code}")
