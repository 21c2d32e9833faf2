"""A client that costs next to nothing: ready-made requests over keep-alive connections, one at a time on each.

It shares the machine with what it measures, so its own CPU per order is part of every report. Hence no HTTP library:
of an answer only the status, the length and the order's id are looked at.
"""

import asyncio
import itertools
import re
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast

_ACCEPTED = b"202"
_STATUS = slice(9, 12)  # of "HTTP/1.1 202 Accepted"
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ORDER_ID = b'"orderId":"'
_ID_LENGTH = 36


class LoadClient:
    """Sends as many requests as it is allowed to, and keeps the list of the orders that were accepted."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.accepted: list[bytes] = []
        """ids of the orders that were answered with 202, in order of the answers"""
        self.latencies_s: list[float] = []
        """from a request to its answer, for every answer"""
        self.refusals: Counter[str] = Counter()
        """answers other than 202 by status, requests without an answer and requests without a connection"""
        self.last_answer_at = 0.0
        """seconds since 1970"""
        self.allowed = 0
        self.answered = 0
        self._requests = itertools.cycle(requests)
        self._unsent = 0
        self._open: set[_Connection] = set()
        # The one that waits longest is used first: a server closes what is idle for seconds.
        self._idle: deque[_Connection] = deque()
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    async def connect(self, host: str, port: int, connections: int) -> None:
        """Open the connections. Raises OSError."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(self), host, port)

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()

    def allow(self, count: int) -> None:
        """Let `count` more requests be sent, as soon as connections are free."""
        self.allowed += count
        self._unsent += count
        if self.answered < self.allowed:
            self._all_answered.clear()
        while self._unsent and self._idle:
            self._send(self._idle.popleft())
        self._give_up_without_connections()

    async def all_answered(self) -> None:
        """Wait until everything that was allowed has been sent and answered."""
        await self._all_answered.wait()

    def _send(self, connection: "_Connection") -> None:
        self._unsent -= 1
        connection.send(next(self._requests))

    def opened(self, connection: "_Connection") -> None:
        """Take a new connection into use."""
        self._open.add(connection)
        self.free(connection)

    def free(self, connection: "_Connection") -> None:
        """Use the connection for the next request, or keep it for later."""
        if self._unsent:
            self._send(connection)
        else:
            self._idle.append(connection)

    def take(self, status: bytes, order_id: bytes, took_s: float) -> None:
        """Take an answer."""
        self.latencies_s.append(took_s)
        if status == _ACCEPTED and len(order_id) == _ID_LENGTH:
            self.accepted.append(order_id)
        else:
            self.refusals[status.decode(errors="replace")] += 1
        self._count_answers(1)

    def lost(self, connection: "_Connection", *, unanswered: bool) -> None:
        """Go on without a connection; whether its last request was carried out is unknown if that got no answer."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if unanswered:
            self.refusals["no answer"] += 1
            self._count_answers(1)
        self._give_up_without_connections()

    def _give_up_without_connections(self) -> None:
        if self._unsent and not self._open:
            self.refusals["no connection"] += self._unsent
            given_up, self._unsent = self._unsent, 0
            self._count_answers(given_up)

    def _count_answers(self, count: int) -> None:
        self.answered += count
        if self.answered == self.allowed:
            self.last_answer_at = time.time()
            self._all_answered.set()


class _Connection(asyncio.Protocol):
    __slots__ = ("_client", "_pending", "_received", "_sent_at", "_transport")

    def __init__(self, client: LoadClient) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._pending = False
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not derived from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._client.opened(self)

    def send(self, request: bytes) -> None:
        self._pending = True
        self._sent_at = time.perf_counter()
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head_end = data.find(_HEAD_END)
        length = _LENGTH.search(data, 0, head_end) if head_end >= 0 else None
        if length is None or len(data) < head_end + len(_HEAD_END) + int(length[1]):
            self._received = data
            return
        self._received = b""
        self._pending = False
        found = data.find(_ORDER_ID, head_end)
        start = found + len(_ORDER_ID)
        order_id = data[start : start + _ID_LENGTH] if found >= 0 else b""
        self._client.take(data[_STATUS], order_id, time.perf_counter() - self._sent_at)
        self._client.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._client.lost(self, unanswered=self._pending)


@asynccontextmanager
async def connected(host: str, port: int, connections: int, requests: Sequence[bytes]) -> AsyncGenerator[LoadClient]:
    """Lend a client with open connections. Raises OSError."""
    client = LoadClient(requests)
    try:
        await client.connect(host, port, connections)
        yield client
    finally:
        client.close()
