"""Clients that repeat nothing keep every failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cluster.traffic import Traffic, strict_session

_HEAD = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_ORDER = b'{"orderId": "a", "traceId": "t"}'


def answer(status: bytes, body: bytes) -> bytes:
    return _HEAD % (status, len(body), body)


ACCEPTED = answer(b"202 Accepted", _ORDER)


class Server:
    """Says to each request what is next on its list, and hangs up when that is nothing."""

    def __init__(self, *answers: bytes) -> None:
        self.asked = 0
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._head(reader):
            length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), b":0")
            await reader.readexactly(int(length.partition(b":")[2]))
            self.asked += 1
            said = self._answers.pop(0)
            if not said:
                break
            writer.write(said)
        writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""


@asynccontextmanager
async def traffic_to(server: Server) -> AsyncIterator[Traffic]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with strict_session() as session:
            yield Traffic(session, f"http://127.0.0.1:{port}", "name")
    finally:
        listening.close()


async def test_an_accepted_order_is_on_the_list_with_its_key() -> None:
    """And nothing has failed."""
    async with traffic_to(Server(ACCEPTED, ACCEPTED)) as traffic:
        await traffic.place(2, rate=1000)
    assert [claim.order_id for claim in traffic.claims] == ["a", "a"]
    assert all(claim.key.startswith("name-") for claim in traffic.claims)
    assert len({claim.key for claim in traffic.claims}) == 2
    assert (traffic.requests, traffic.failures, traffic.uncertain) == (2, [], set())


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (answer(b"502 Bad Gateway", b"<html>"), 502, "JSON"),
        (answer(b"503 Service Unavailable", b'{"code": "unavailable"}'), 503, "unavailable"),
        (answer(b"200 OK", _ORDER), 200, "200"),
        (b"", 0, "Disconnected"),
    ],
)
async def test_every_other_answer_is_a_failed_request_and_not_repeated(said: bytes, status: int, reason: str) -> None:
    """Its order may have been stored all the same."""
    server = Server(said)
    async with traffic_to(server) as traffic:
        await traffic.place(1, rate=1000)
    assert server.asked == 1
    assert traffic.claims == []
    assert [failure.status for failure in traffic.failures] == [status]
    assert reason in str(traffic.failures[0])
    assert len(traffic.uncertain) == 1


async def test_a_read_on_a_kept_connection_that_is_cut_is_a_failed_request_too() -> None:
    """By itself aiohttp would send it again, and nobody would know; a history is asked for anew and counted."""
    read = answer(b"200 OK", b'{"data": [{"seq": 1}]}')
    server = Server(read, b"", read)
    async with traffic_to(server) as traffic:
        assert await traffic.history("a") == [{"seq": 1}]
        assert await traffic.history("a") == [{"seq": 1}]
    assert server.asked == 3
    assert traffic.requests == 3
    assert len(traffic.failures) == 1


async def test_nobody_listening_is_a_failed_request() -> None:
    """With no status."""
    async with strict_session() as session:
        traffic = Traffic(session, "http://127.0.0.1:1", "name")
        await traffic.place(1, rate=1000)
    assert [failure.status for failure in traffic.failures] == [0]
    assert aiohttp.ClientConnectorError.__name__ in traffic.failures[0].reason
