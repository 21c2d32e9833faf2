"""The HTTP client: connections are kept, and whatever a server or a network does ends as an answer or as NoAnswer."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from devstack.ports import free_port
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_worker.dex import http_client
from engine_worker.dex.http_client import HttpClient, NoAnswer

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server of raw bytes; `heads` are the requests' heads, `connections` counts those that were opened."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.url = ""

    async def read_request(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("content-length")), "0")
        await reader.readexactly(int(length))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
        await self.read_request(reader)
        writer.write(answer)
        await writer.drain()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(
    behave: Callable[[Server, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Server]:
    """Run a server whose every connection behaves so and is then closed."""
    server = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            await behave(server, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def client_of(server: Server, max_connections: int = 4) -> AsyncIterator[HttpClient]:
    async with aclosing(HttpClient(server.url, max_connections=max_connections)) as client:
        yield client


async def keep_answering(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await server.answer(reader, writer, OK)


async def test_one_connection_carries_many_requests() -> None:
    """And the request says what HTTP wants to know."""
    async with serving(keep_answering) as server, client_of(server) as client:
        for _ in range(3):
            response = await client.get("/a?b=c", within_s=5)
            assert (response.status, response.body) == (200, b"ok")
        assert server.connections == 1
        assert server.heads[0].startswith("GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:")


async def test_a_post_carries_its_body_and_the_current_trace() -> None:
    """The context travels whether spans are recorded or not."""
    context = TraceContext.new()
    async with serving(keep_answering) as server, client_of(server) as client:
        with tracing.use(context):
            await client.post("/rpc", b'{"a": 1}', "application/json", within_s=5)
        assert "content-length: 8\r\n" in server.heads[0]
        assert f"traceparent: {context.traceparent}\r\n" in server.heads[0]


async def test_no_more_connections_than_allowed() -> None:
    """Further requests wait for their turn, and all are answered."""
    async with serving(keep_answering) as server, client_of(server, max_connections=3) as client:
        answers = await asyncio.gather(*(client.get("/", within_s=5) for _ in range(50)))
        assert [answer.body for answer in answers] == [b"ok"] * 50
        assert server.connections <= 3


async def test_an_answer_in_chunks_and_pieces_is_put_together() -> None:
    """However the network cuts it."""

    async def in_pieces(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read_request(reader)
        for byte in b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()

    async with serving(in_pieces) as server, client_of(server) as client:
        response = await client.get("/", within_s=5)
        assert (response.status, response.body) == (503, b"abcde")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", b"this is not HTTP\r\n\r\n"]
)
async def test_a_broken_answer_is_none(answer: bytes) -> None:
    """Closed at once, closed in mid-answer, or another protocol; the next request goes over a new connection."""
    answers = [answer, OK]

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.answer(reader, writer, answers.pop(0))

    async with serving(behave) as server, client_of(server) as client:
        with pytest.raises(NoAnswer):
            await client.get("/", within_s=5)
        assert (await client.get("/", within_s=5)).body == b"ok"
        assert server.connections == 2


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    """Announced by `connection: close`, or found closed when it is needed."""

    async def once(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.answer(reader, writer, OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    async with serving(once) as server, client_of(server) as client:
        for _ in range(3):
            assert (await client.get("/", within_s=5)).body == b"ok"
        assert server.connections == 3


async def test_a_late_answer_is_none_and_is_never_taken_for_the_next_one() -> None:
    """Its connection is given up with it."""
    release = asyncio.Event()

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.connections == 1:
            await server.read_request(reader)
            await release.wait()
            writer.write(OK.replace(b"ok", b"no"))
        else:
            await keep_answering(server, reader, writer)

    async with serving(behave) as server, client_of(server) as client:
        with pytest.raises(NoAnswer, match="no answer within"):
            await client.get("/", within_s=0.05)
        release.set()
        assert (await client.get("/", within_s=5)).body == b"ok"


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_a_stray_answer_closes_its_connection_and_is_nobodys(pause_s: float) -> None:
    """A duplicate in the same piece of data, or later: the next request goes over another connection."""

    async def answer_twice(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.connections > 1:
            await keep_answering(server, reader, writer)
            return
        await server.read_request(reader)
        stray = OK.replace(b"ok", b"no")
        writer.write(OK if pause_s else OK + stray)
        await asyncio.sleep(pause_s)
        if pause_s:
            writer.write(stray)
        await reader.read()

    async with serving(answer_twice) as server, client_of(server) as client:
        assert (await client.get("/", within_s=5)).body == b"ok"
        await asyncio.sleep(pause_s * 3)
        assert (await client.get("/", within_s=5)).body == b"ok"
        assert server.connections == 2


async def test_bytes_before_the_request_close_the_connection() -> None:
    """Whoever answers before it is asked does not speak HTTP."""

    async def eager(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.connections > 1:
            await keep_answering(server, reader, writer)
            return
        await server.answer(reader, writer, OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with serving(eager) as server, client_of(server) as client:
        await client.get("/", within_s=5)
        await asyncio.sleep(0.15)
        assert (await client.get("/", within_s=5)).status == 200
        assert server.connections == 2


async def test_an_answer_that_only_announces_another_is_not_the_answer() -> None:
    """1xx: the final one follows on the same connection."""

    async def hint_first(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.answer(reader, writer, b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)
        await keep_answering(server, reader, writer)

    async with serving(hint_first) as server, client_of(server) as client:
        for _ in range(2):
            response = await client.get("/", within_s=5)
            assert (response.status, response.body) == (200, b"ok")
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n" + b"x" * 3000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"800\r\n" + b"x" * 2048 + b"\r\n" + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 20_000 + b"\r\n",
    ],
    ids=["length", "chunks", "one header", "many headers"],
)
async def test_an_answer_without_bounds_is_given_up(answer: bytes) -> None:
    """A server must not make the worker keep whatever it sends."""

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.answer(reader, writer, answer if server.connections == 1 else OK)
        await reader.read()

    async with (
        serving(behave) as server,
        aclosing(HttpClient(server.url, max_connections=1, max_answer_bytes=1_024)) as client,
    ):
        with pytest.raises(NoAnswer, match="has more than"):
            await client.get("/", within_s=5)
        assert (await client.get("/", within_s=5)).body == b"ok"


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        ("429 Slow", b"Retry-After: 7", 7.0),
        ("503 Busy", b"retry-after:\t2 ", 2.0),
        ("429 Slow", b"retry-after: 86400", 30.0),
        ("429 Slow", b"retry-after: Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("429 Slow", b"retry-after: Fri, 01 Jan 2100 00:00:00 GMT", 30.0),
        ("429 Slow", b"retry-after: soon", None),
        ("429 Slow", b"x: y", None),
        ("200 OK", b"retry-after: 7", None),
    ],
)
async def test_a_server_says_when_to_come_back(status: str, header: bytes, seconds: float | None) -> None:
    """In seconds or as a date, with 429 and 503; and no order waits longer than half a minute because of it."""

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\n".encode() + header + b"\r\ncontent-length: 0\r\n\r\n"
        await server.answer(reader, writer, head)

    async with serving(behave) as server, client_of(server) as client:
        assert (await client.get("/", within_s=5)).retry_after_s == seconds


async def test_a_connection_is_not_used_beyond_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a changed address of the server's name would never take effect."""
    monkeypatch.setattr(http_client, "MAX_AGE_S", 0.05)
    async with serving(keep_answering) as server, client_of(server) as client:
        await client.get("/", within_s=5)
        await client.get("/", within_s=5)
        assert server.connections == 1
        await asyncio.sleep(0.1)
        await client.get("/", within_s=5)
        assert server.connections == 2


async def test_an_answer_that_its_reader_distrusts_closes_its_connection() -> None:
    """The next one would be the wrong one, too."""
    async with serving(keep_answering) as server, client_of(server) as client:
        (await client.get("/", within_s=5)).discard()
        await client.get("/", within_s=5)
        assert server.connections == 2


async def test_every_part_of_the_url_is_honoured() -> None:
    """A path before, a key in the query, and a user with a password."""
    async with serving(keep_answering) as server:
        url = server.url.replace("http://", "http://us%40er:p%3Aw@") + "/v1/?api-key=a%2Fb&x=1"
        async with aclosing(HttpClient(url, max_connections=1)) as client:
            await client.get("/quote", "amount=5", within_s=5)
            await client.post("/rpc", b"{}", "application/json", within_s=5)
    quote, rpc = (head.split("\r\n") for head in server.heads)
    assert quote[0] == "GET /v1/quote?api-key=a%2Fb&x=1&amount=5 HTTP/1.1"
    assert rpc[0] == "POST /v1/rpc?api-key=a%2Fb&x=1 HTTP/1.1"
    assert f"authorization: Basic {base64.b64encode(b'us@er:p:w').decode()}" in quote
    assert f"host: {server.url.removeprefix('http://')}" in quote


async def test_no_part_of_the_url_that_may_be_secret_is_in_a_span() -> None:
    """Traces go to where many people read them."""
    exporter = InMemorySpanExporter()
    tracing.configure("test", exporter=exporter)
    async with serving(keep_answering) as server:
        url = server.url.replace("http://", "http://user:secret@") + "/?api-key=secret"
        async with aclosing(HttpClient(url, max_connections=1)) as client:
            await client.get("/quote", "amount=5", within_s=5)
    tracing.shutdown()
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["url.path"] == "/quote"
    assert "secret" not in str(dict(span.attributes))


async def test_a_cancelled_request_gives_up_its_connection() -> None:
    """The order was let go; its answer concerns nobody."""
    asked = asyncio.Event()

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read_request(reader)
        asked.set()
        if server.connections == 1:
            await reader.read()  # until the client goes
        else:
            writer.write(OK)

    async with serving(behave) as server, client_of(server, max_connections=1) as client:
        request = asyncio.create_task(client.get("/", within_s=30))
        await asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await client.get("/", within_s=5)).body == b"ok"


async def test_nobody_listening_is_no_answer() -> None:
    """And a URL that is none is refused when the client is made."""
    with pytest.raises(NoAnswer, match="cannot connect"):
        await HttpClient(f"http://127.0.0.1:{free_port()}", max_connections=1).get("/", within_s=5)
    with pytest.raises(ValueError, match="must be an http or https URL"):
        HttpClient("ftp://example.invalid", max_connections=1)
