"""A normal client amid an attack, in a process of its own: orders, reads, and every order followed to its end."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import aiohttp
import websockets

from hostile.case import BODY

_EVERY_S = 0.1
_FINISH_WITHIN_S = 60.0


@dataclass
class Experience:
    """How a normal client was served; times in seconds."""

    posts: list[float] = field(default_factory=list[float])
    gets: list[float] = field(default_factory=list[float])
    finished: int = 0
    complaints: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def living(url: str, headers: Mapping[str, str]) -> AsyncGenerator[Experience]:
    """Let a normal client go on until the block ends; then the experience is filled in.

    It has a process of its own, because in the attacker's it would measure how busy the attacker is.
    """
    experience = Experience()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hostile.bystander", url, json.dumps(dict(headers))),
        env={"PYTHONPATH": ":".join(sys.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield experience
    finally:
        told, _ = await process.communicate(b"")  # its input ends
        vars(experience).update(json.loads(told))


class Bystander:
    """Places an order every 100 ms, follows it by WebSocket, reads it, and keeps how long that took."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self.experience = Experience()

    async def live(self) -> None:
        """Go on until cancelled, then see every order to its end."""
        async with aiohttp.ClientSession(self._url, headers=self._headers) as session:
            await self._order_again_and_again(session)

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
            self.experience.complaints.append(f"{type(error).__name__}: {error}")
        else:
            self.experience.finished += 1

    async def _place(self, session: aiohttp.ClientSession) -> str:
        begun = time.perf_counter()
        async with session.post("/api/orders/execute", json=BODY | {"userWallet": "bystander"}) as answer:
            order = await answer.json(content_type=None)
        self.experience.posts.append(time.perf_counter() - begun)
        if answer.status != 202:
            raise ValueError(f"an order was answered with {answer.status}: {order}")
        return order["orderId"]

    async def _read(self, session: aiohttp.ClientSession, order_id: str) -> None:
        begun = time.perf_counter()
        async with session.get(f"/api/orders/{order_id}") as answer:
            await answer.read()
        self.experience.gets.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise ValueError(f"a read was answered with {answer.status}")

    async def _follow(self, order_id: str) -> None:
        url = f"{self._url.replace('http', 'ws', 1)}/ws/orders/{order_id}"
        async with websockets.connect(url, additional_headers=self._headers, open_timeout=_FINISH_WITHIN_S) as socket:
            seqs = [json.loads(message)["seq"] async for message in socket]
        if not seqs or seqs != list(range(1, len(seqs) + 1)) or socket.close_code != 1000:
            raise ValueError(f"events {seqs} of {order_id}, closed with {socket.close_code}")


async def _live_until_told() -> Experience:
    bystander = Bystander(sys.argv[1], json.loads(sys.argv[2]))
    living = asyncio.create_task(bystander.live())
    await asyncio.to_thread(sys.stdin.read)
    living.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await living
    return bystander.experience


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(_live_until_told()))))
