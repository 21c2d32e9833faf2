"""Clients that listen: many that hear nothing, some that never read, and readers that must hear everything once."""

import asyncio
import contextlib
import json
import socket
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection

from hostile.answers import read_answers
from hostile.case import Target
from hostile.frames import NotAFrame, read_frames
from hostile.web_sockets import HANDSHAKE

_OPENED_PER_S = 200  # each costs a few reads of the database; who comes faster is told to try again later
_OPEN_WITHIN_S = 60.0
_TINY_BUFFER = 4096
_LEFTOVER_WITHIN_S = 2.0
_FINAL = {"confirmed", "failed", "cancelled", "expired"}


@asynccontextmanager
async def idling(url: str, paths: Sequence[str], headers: Mapping[str, str]) -> AsyncGenerator[list[ClientConnection]]:
    """Keep sockets open that answer pings and hear next to nothing."""
    base = url.replace("http", "ws", 1)

    async def open_one(number: int, path: str) -> ClientConnection:
        await asyncio.sleep(number / _OPENED_PER_S)
        return await websockets.connect(
            base + path,
            additional_headers=headers,
            open_timeout=_OPEN_WITHIN_S,
            ping_interval=None,
            compression=None,
        )

    connections = await asyncio.gather(*(open_one(number, path) for number, path in enumerate(paths)))
    try:
        yield connections
    finally:
        await asyncio.gather(*(one.close() for one in connections))


class Mute:
    """A client that follows a wallet and never reads."""

    def __init__(self, url: str, wallet: str, headers: Mapping[str, str]) -> None:
        address = urlsplit(url)
        target = Target(address.hostname or "", address.port or 80, (), (), headers)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TINY_BUFFER)
        self._socket.connect((target.host, target.port))
        self._socket.sendall(target.head("GET", f"/ws?wallet={wallet}", **HANDSHAKE))

    @property
    def port(self) -> int:
        """The port that it comes from."""
        return self._socket.getsockname()[1]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ending(self) -> str:
        """Read at last what is still there, and say how the connection ended."""
        self._socket.settimeout(_LEFTOVER_WITHIN_S)
        heard = bytearray()
        how = "cut"
        try:
            while data := self._socket.recv(2**18):
                heard += data
        except TimeoutError:
            how = "still open"
        except OSError:
            how = "reset"
        with contextlib.suppress(NotAFrame):
            frames, _ = read_frames(read_answers(bytes(heard), bodiless=False).rest)
            codes = [frame.close_code for frame in frames if frame.close_code is not None]
            return f"closed {codes[0]}" if codes else how
        return "rubbish"


@contextmanager
def never_reading(url: str, wallets: Sequence[str], headers: Mapping[str, str]) -> Generator[list[Mute]]:
    """Follow each of the wallets without ever reading."""
    with ExitStack() as closing:
        yield [closing.enter_context(contextlib.closing(Mute(url, wallet, headers))) for wallet in wallets]


class Reader:
    """A client that follows a wallet and reads what comes; keeps how long events were on their way, in seconds."""

    def __init__(self) -> None:
        self.seqs: defaultdict[str, list[int]] = defaultdict(list)
        self.finished: set[str] = set()
        self.latencies: list[float] = []

    async def listen(self, connection: ClientConnection) -> None:
        """Read until cancelled or closed."""
        async for message in connection:
            event = json.loads(message)
            self.latencies.append(time.time() - datetime.fromisoformat(event["timestamp"]).timestamp())
            self.seqs[event["orderId"]].append(event["seq"])
            if event["status"] in _FINAL:
                self.finished.add(event["orderId"])

    def complaints(self, orders: Sequence[str]) -> Counter[str]:
        """Count what was not heard exactly once and in order, of the orders that it should have heard of."""
        wrong: Counter[str] = Counter()
        for order_id in orders:
            seqs = self.seqs.get(order_id, [])
            if order_id not in self.finished:
                wrong["never heard the end"] += 1
            if seqs != list(range(1, len(seqs) + 1)):
                wrong["not each event exactly once"] += 1
        return wrong


@asynccontextmanager
async def reading(url: str, wallets: Sequence[str], headers: Mapping[str, str]) -> AsyncGenerator[list[Reader]]:
    """Follow each of the wallets."""
    paths = [f"/ws?wallet={wallet}" for wallet in wallets]
    readers = [Reader() for _ in wallets]
    async with idling(url, paths, headers) as connections:
        pairs = zip(readers, connections, strict=True)
        listening = [asyncio.create_task(reader.listen(connection)) for reader, connection in pairs]
        try:
            yield readers
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
