"""A TCP proxy between two processes that can delay, swallow, trickle, repeat, cut and tear what passes through it."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65_536
_TRICKLES_PER_S = 20
_LATEST_REPEAT_S = 0.02
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST instead of FIN


@dataclass(frozen=True, slots=True)
class Weather:
    """What a proxy does to the connections through it."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    swallows: bool = False  # accepts, and passes nothing on as long as this holds
    refuses: bool = False
    repeats: bool = False  # what the target says comes once more, a little later


FAIR = Weather()


class Proxy:
    """Forwards between whoever connects and the target; `tear`, `cut` and `weather` are the faults."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self._weather = FAIR
        self._passing = asyncio.Event()
        self._passing.set()
        self._connections: set[_Connection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def weather(self) -> Weather:
        """What holds now; connections that are open meet a change at their next message."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        if weather.swallows:
            self._passing.clear()
        else:
            self._passing.set()
        if weather.refuses:
            self.cut()

    def cut(self) -> None:
        """Close every connection in good manners, as a peer that ends does."""
        for connection in list(self._connections):
            connection.close()

    def tear(self) -> None:
        """Reset every connection in the middle of the next message that passes, in whichever direction."""
        for connection in list(self._connections):
            connection.torn = True

    def url(self, original: str) -> str:
        """Return the URL that leads through this proxy to where the original leads."""
        parts = urlsplit(original)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    async def open(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        self.weather = FAIR
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.reset()
        if self._handlers:  # they end by themselves: asyncio's streams complain of handlers that are cancelled
            await asyncio.wait(self._handlers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:  # the target is away: so is its address
            _reset(writer)
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._forward(connection, reader, far_writer),
                self._forward(connection, far_reader, writer, answers=True),
            )
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _forward(
        self,
        connection: "_Connection",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool = False,
    ) -> None:
        with suppress(ConnectionError, RuntimeError):  # RuntimeError: uvloop, of a transport that is closing
            while data := await reader.read(_CHUNK):
                await self._hold_up()
                if connection.torn:
                    writer.write(data[: len(data) // 2])
                    await asyncio.sleep(0)
                    connection.reset()
                    return
                await self._pass(data, writer)
                if answers and self._weather.repeats:
                    asyncio.get_running_loop().call_later(random.uniform(0, _LATEST_REPEAT_S), _repeat, data, writer)
        connection.close()

    async def _hold_up(self) -> None:
        await self._passing.wait()
        weather = self._weather
        if weather.delay_s:
            await asyncio.sleep(weather.delay_s + random.uniform(-weather.jitter_s, weather.jitter_s))
            await self._passing.wait()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        rest = memoryview(data)
        while (rate := self._weather.bytes_per_s) is not None and rest:
            piece = max(1, round(rate / _TRICKLES_PER_S))
            writer.write(bytes(rest[:piece]))
            rest = rest[piece:]
            await asyncio.sleep(1 / _TRICKLES_PER_S)
        if rest:
            writer.write(bytes(rest))
        await writer.drain()


class _Connection:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.torn = False
        self._writers = writers

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)


def _repeat(data: bytes, writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    end = cast("socket.socket | None", writer.get_extra_info("socket"))
    with suppress(OSError):
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@asynccontextmanager
async def proxy_before(host: str, port: int) -> AsyncIterator[Proxy]:
    """Run a proxy before an address."""
    proxy = Proxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
