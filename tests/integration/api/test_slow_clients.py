"""Clients that never come to the point: they are sent away, and cost nobody else anything."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from integration.api.running_api import BODY, UNKNOWN, RunningApi, running_api

PATIENCE_S = 0.5
WITHIN_S = 30.0
HEAD = b"POST /api/orders/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
UPGRADE = (
    b"GET /ws?wallet=w HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.fixture
async def hasty(shared_database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api with little patience."""
    async with running_api(shared_database_url, redis_url, client_patience_s=PATIENCE_S) as api:
        yield api


@pytest.fixture
async def patient(shared_database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api whose patience no test outlasts."""
    async with running_api(shared_database_url, redis_url, client_patience_s=600) as api:
        yield api


@pytest.fixture
async def guarded(shared_database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api that wants a key."""
    async with running_api(shared_database_url, redis_url, api_keys="desk:key") as api:
        yield api


class Line:
    """A connection on which a test says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, api: RunningApi) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", api.port))

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hear_head(self) -> bytes:
        """Return the head of an answer."""
        async with asyncio.timeout(WITHIN_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def hear(self) -> bytes:
        """Return everything that comes until the other side closes, or no longer takes what is said to it."""
        heard = b""
        async with asyncio.timeout(WITHIN_S):
            with contextlib.suppress(ConnectionResetError):
                while chunk := await self._reader.read(4096):
                    heard += chunk
        self._writer.close()
        return heard

    async def insist(self, beginning: bytes, drop: bytes, times: int = 200) -> bytes:
        """Say a beginning, then as much as somebody takes of very much more; return what came back."""

        async def pour() -> None:
            await self.say(beginning)
            for _ in range(times):
                await self.say(drop)
                await asyncio.sleep(0.03)  # who writes on after a reset does not hear what came before it

        pouring = asyncio.create_task(pour())
        try:
            return await self.hear()
        finally:
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)

    async def dribble(self, beginning: bytes, *drops: bytes) -> bytes:
        """Say a beginning, then a little now and then for as long as somebody listens; return what came back."""

        async def drip() -> None:
            await self.say(beginning)
            while True:
                for drop in drops:
                    await asyncio.sleep(PATIENCE_S / 5)
                    await self.say(drop)

        dripping = asyncio.create_task(drip())
        try:
            return await self.hear()
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)


def problem(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    assert b"x-content-type-options: nosniff" in head.lower()
    document = json.loads(body)
    assert (document["code"], document["status"]) == (code, status)
    assert f"x-request-id: {document['requestId']}".encode() in head.lower()


async def test_a_head_that_does_not_come_ends_the_connection(hasty: RunningApi) -> None:
    """Nothing at all, or a beginning and then nothing."""

    async def begin(beginning: bytes) -> bytes:
        line = await Line.to(hasty)
        await line.say(beginning)
        return await line.hear()

    beginnings = (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"\r\n")
    assert set(await asyncio.gather(*map(begin, beginnings))) == {b""}


async def test_a_head_that_dribbles_ends_the_connection(hasty: RunningApi) -> None:
    """Each byte is progress, and still it is the whole that has to come in time; of an upgrade, too."""

    async def dribble(beginning: bytes, drop: bytes) -> bytes:
        return await (await Line.to(hasty)).dribble(beginning, drop)

    heard = await asyncio.gather(
        dribble(b"GET /livez HTTP/1.1\r\nx: ", b"y"),
        dribble(b"GET /livez HTTP/1.1\r\n", b"a: b\r\n"),
        dribble(b"", b"\r\n"),
        dribble(UPGRADE, b"a: b\r\n"),
    )
    assert set(heard) == {b""}


async def test_a_second_request_has_to_come_to_the_point_too(hasty: RunningApi) -> None:
    """A connection may rest between two requests, but not in the middle of one."""
    line = await Line.to(hasty)
    await line.say(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(3 * PATIENCE_S)
    answers = await line.dribble(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /li", b"v")
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.endswith(b"}")


async def test_a_body_that_is_too_slow_is_refused(hasty: RunningApi) -> None:
    """With a problem, whether it stalls or dribbles."""
    beginning = HEAD + b"content-length: 1000\r\n\r\n{"
    stalling, dribbling = await Line.to(hasty), await Line.to(hasty)
    await stalling.say(beginning)
    for answer in await asyncio.gather(stalling.hear(), dribbling.dribble(beginning, b" ")):
        problem(answer, 408, "request_timeout")


async def test_a_body_that_nobody_reads_does_not_keep_a_connection(hasty: RunningApi) -> None:
    """The answer was given long ago; what comes after it is not waited for."""
    line = await Line.to(hasty)
    answer = await line.dribble(b"GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n", b" ")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_socket_that_awaits_an_order_does_not_wait_for_ever(hasty: RunningApi) -> None:
    """The problem, then the close."""
    async with hasty.listening("/api/orders/execute") as ear:
        (document,) = await ear.hear(1)
        assert (document["code"], document["status"]) == ("request_timeout", 408)
        assert await ear.closed() == 4008


async def test_sockets_that_only_listen_may_be_silent(hasty: RunningApi, wallet: str) -> None:
    """Nothing is expected from them."""
    order_id = await hasty.place(userWallet=wallet)
    async with hasty.listening(f"/ws/orders/{order_id}") as of_order, hasty.listening(f"/ws?wallet={wallet}") as ear:
        await of_order.hear(1)
        await ear.hear(1)
        await of_order.silence(4 * PATIENCE_S)
        await ear.silence(0.1)


@pytest.mark.parametrize("header", [b"x" * 33_000, b"a: b\r\n" * 5_500, b"x: " + b"y" * 33_000])
async def test_a_head_is_bounded(api: RunningApi, header: bytes) -> None:
    """Whatever it is that makes it long."""
    line = await Line.to(api)
    await line.say(b"GET /livez HTTP/1.1\r\nhost: x\r\n" + header)
    problem(await line.hear(), 431, "head_too_large")


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [(b"1\r\n{\r\n0\r\n", b"a: b\r\n"), (b"1\r\n{\r\n0\r\na: ", b"bbbbbb"), (b"1;", b"a=b;cc")],
    ids=["trailers", "long trailer", "chunk extension"],
)
async def test_what_is_no_body_is_bounded_after_the_head_too(
    patient: RunningApi, beginning: bytes, drop: bytes
) -> None:
    """However much time there is; the client is told why."""
    line = await Line.to(patient)
    problem(await line.insist(CHUNKED + beginning, drop * 10_000), 431, "head_too_large")


@pytest.mark.parametrize(
    ("rest", "drop"),
    [
        (b"content-length: 100000000000\r\n\r\n", b"{" * 60_000),
        (b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10_000),
    ],
    ids=["body", "trailers"],
)
async def test_what_comes_after_the_answer_is_bounded(patient: RunningApi, rest: bytes, drop: bytes) -> None:
    """Nobody reads it."""
    line = await Line.to(patient)
    answer = await line.insist(HEAD.replace(b"/api/orders/execute", b"/nowhere") + rest, drop)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_body_in_many_small_parts_is_read(patient: RunningApi) -> None:
    """Six bytes of framing for each byte of it, and a few trailers, are nothing unusual."""
    body = json.dumps(BODY).encode()
    body += b" " * (60_000 - len(body))
    for step in (b"", b";part=1"):
        chunks = b"".join(b"1%s\r\n%c\r\n" % (step, byte) for byte in body)
        line = await Line.to(patient)
        await line.say(CHUNKED + chunks + b"0\r\nchecksum: 1\r\nx-request-id: trailing\r\n\r\n")
        head = await line.hear_head()
        assert head.startswith(b"HTTP/1.1 202 ")
        assert b"trailing" not in head
        await line.say(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"HTTP/1.1 200 OK" in await line.hear()


async def test_a_trailer_is_no_header(guarded: RunningApi) -> None:
    """Neither a key nor a request id may come so late: others may have looked at the head alone."""
    line = await Line.to(guarded)
    body = b"2\r\n{}\r\n0\r\nx-api-key: key\r\nx-request-id: trailing\r\n\r\n"
    await line.say(CHUNKED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + body)
    answer = await line.hear()
    problem(answer, 401, "unauthorized")
    assert b"trailing" not in answer


async def test_what_is_not_http_is_answered_like_everything_else(api: RunningApi) -> None:
    """A problem, with an id and the headers of every answer."""
    line = await Line.to(api)
    await line.say(b"HELLO\r\n\r\n")
    problem(await line.hear(), 400, "malformed_request")


@pytest.mark.parametrize(
    ("upgrade", "status"),
    [
        (UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"no-key"), 400),
        (UPGRADE.replace(b"version: 13", b"version: 12"), 400),
        (UPGRADE.replace(b"GET ", b"POST "), 405),
        (UPGRADE + b"x: " + b"y" * 9000 + b"\r\n", 431),
        (UPGRADE + b"a: b\r\n" * 200, 431),
        (UPGRADE.replace(b"wallet=w", b"wallet=" + b"w" * 9000), 414),
    ],
    ids=["key", "version", "method", "long header", "many headers", "long address"],
)
async def test_a_handshake_that_cannot_succeed_is_refused(api: RunningApi, upgrade: bytes, status: int) -> None:
    """At once, and nothing of what was sent is repeated."""
    line = await Line.to(api)
    await line.say(upgrade + b"\r\n")
    answer = await line.hear()
    problem(answer, status, "malformed_request")
    assert b"no-key" not in answer


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a client's frame, masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes([opcode | (0x80 if fin else 0)]) + size + bytes(4) + payload


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(1, b"x" * 60_000, fin=False) + frame(0, b"x" * 6_000)[:8], 1009),
        (frame(1, fin=False) + frame(0, fin=False) * 1_000, 1009),
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xc3", fin=False) + frame(0, b"x"), 1007),
        (frame(3), 1002),
        (frame(0), 1002),
    ],
    ids=["long in parts", "endless parts", "no text", "no text in parts", "unknown frame", "part of nothing"],
)
async def test_frames_that_cannot_be_taken_close_the_socket(
    api: RunningApi, frames: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With the code that the protocol has for it, and without a word in the log."""
    line = await Line.to(api)
    await line.say(UPGRADE.replace(b"/ws?wallet=w", b"/api/orders/execute") + b"\r\n")
    assert (await line.hear_head()).startswith(b"HTTP/1.1 101 ")
    await line.say(frames)
    opcode, _length, *close_code = (await line.hear())[:4]
    assert (opcode, bytes(close_code)) == (0x88, struct.pack("!H", code))
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_others_are_served_meanwhile(hasty: RunningApi) -> None:
    """A crowd of connections that say nothing stands in nobody's way."""
    crowd = [await Line.to(hasty) for _ in range(200)]
    for line in crowd[::2]:
        await line.say(HEAD)
    assert (await hasty.post("/api/orders/execute", BODY)).status == 202
    (await hasty.get(f"/api/orders/{UNKNOWN}")).problem(404, "not_found")
    heard: Any = await asyncio.gather(*(line.hear() for line in crowd))
    assert set(heard) == {b""}
