"""Over a real socket: the express lane of quotes beside uvicorn's way, and connections that end without an answer."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from engine_common.telemetry import tracing
from integration.mockdex.exchanges import TOKEN, Asked, Stepped
from integration.mockdex.swaps import SOL, USDC
from mockdex.app import make_service
from mockdex.exchange import Exchange
from mockdex.server import PortTaken, listen
from mockdex.settings import MockdexSettings
from support.waiting import eventually

QUOTE = f"/venues/raydium/quote?inputMint={SOL}&outputMint={USDC}&amount=1000000000"


@asynccontextmanager
async def serving(exchange: Stepped):
    """Serve an exchange on a free port."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_service(exchange.exchange, TOKEN)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield port
    server.should_exit = True
    await task


@pytest.fixture
async def port(exchange):
    async with serving(exchange) as port:
        yield port


async def talk(port, request, *, until_closed=False):
    """Send raw bytes; return what comes back until the connection rests or closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    received = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65_536), 20 if until_closed else 0.5):
            received += chunk
    except TimeoutError:
        assert not until_closed
    writer.close()
    await writer.wait_closed()
    return received


def get(path, *headers):
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: mock", *headers, "", ""]).encode()


async def test_quotes_and_calls_share_a_connection(exchange, port):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(3):
            async with session.get(QUOTE) as answer:
                assert answer.status == 200
                assert answer.content_type == "application/json"
                assert await answer.json() == (await exchange.ask.quote())[1]
            async with session.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": "getBlockHeight"}) as answer:
                assert (await answer.json())["result"] == 1
            async with session.get("/ledger") as answer:
                assert await answer.json() == {"data": [], "nextCursor": None}


async def test_the_express_lane_answers_as_the_application_does(exchange, port):
    """Good and bad questions alike: same status, same body, whichever way they go."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for query in (
            QUOTE.partition("?")[2],
            "",
            "inputMint=a&outputMint=b&amount=1",
            "amount=-1&inputMint=a&outputMint=b",
        ):
            path = f"/venues/meteora/quote?{query}"
            async with session.get(path) as answer:
                status, body, _ = await exchange.ask.http("GET", path)
                assert (answer.status, await answer.json()) == (status, body)


async def test_a_limited_quote_says_when_to_come_back(exchange, port):
    await exchange.ask.tune(rate_limit_rate=1)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session, session.get(QUOTE) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")


async def test_pipelined_requests_are_answered_in_order(port):
    """Express and application in turn, all in one packet, each answered after the one before it."""
    rpc = orjson.dumps({"jsonrpc": "2.0", "id": 77, "method": "getBlockHeight"})
    post = b"POST /rpc HTTP/1.1\r\nHost: mock\r\nContent-Length: %d\r\n\r\n%b" % (len(rpc), rpc)
    last = get("/livez", "Connection: close")
    received = await talk(port, get(QUOTE) + post + get(QUOTE) + get("/readyz") + get(QUOTE) + last, until_closed=True)
    bodies = [orjson.loads(part.partition(b"\r\n\r\n")[2]) for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    quote = bodies[0]
    assert quote["inAmount"] == "1000000000"
    assert bodies == [
        quote,
        {"jsonrpc": "2.0", "result": 1, "id": 77},
        quote,
        {"status": "up", "storage": "up"},
        quote,
        {"status": "up"},
    ]


async def test_a_connection_is_closed_when_the_client_says_so(port):
    received = await talk(port, get(QUOTE, "Connection: close"), until_closed=True)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in received
    received = await talk(port, get(QUOTE).replace(b"HTTP/1.1", b"HTTP/1.0"), until_closed=True)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_quote_with_a_body_is_answered_once(port):
    received = await talk(
        port, get(QUOTE, "Content-Length: 5") + b"hello" + get("/livez", "Connection: close"), until_closed=True
    )
    assert received.count(b"HTTP/1.1 200 OK") == 2


async def test_clients_may_leave_before_the_answer(exchange, port):
    await exchange.ask.tune(quote_delay_ms=30)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(QUOTE))
        await asyncio.sleep(0.005)
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert (await talk(port, get(QUOTE, "Connection: close"), until_closed=True)).startswith(b"HTTP/1.1 200 OK")


async def test_a_lost_reply_closes_the_connection_without_a_byte(exchange, port):
    await exchange.ask.tune(reply_lost_rate=1)
    body = orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": [exchange.swap(), {"encoding": "base64"}]}
    )
    post = b"POST /rpc HTTP/1.1\r\nHost: mock\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert await talk(port, post, until_closed=True) == b""
    await exchange.pass_ms(3_000)
    assert len(await exchange.ask.ledger()) == 1


async def test_held_back_quotes_do_not_hold_up_the_end(exchange):
    """The server stops within its grace although a client still waits."""
    await exchange.ask.tune(quote_timeout_rate=1)
    async with serving(exchange) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(QUOTE))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
    writer.close()
    await writer.wait_closed()


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    tracing.configure("mockdex", exporter=exporter)
    yield exporter
    tracing.shutdown()


async def test_where_spans_are_recorded_every_request_is_part_of_its_callers_trace(spans, exchange):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    async with serving(exchange) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        async with session.get(QUOTE) as answer:
            assert (await answer.json())["inAmount"] == "1000000000"
        async with session.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": "getBlockHeight"}) as answer:
            assert (await answer.json())["result"] == 1
    recorded = spans.get_finished_spans()
    assert {span.name for span in recorded} == {"GET /venues/raydium/quote", "POST /rpc"}
    assert {f"{span.context.trace_id:032x}" for span in recorded} == {trace_id}
    assert {span.parent.span_id for span in recorded} == {0xB7AD6B7169203331}
    assert {span.kind for span in recorded} == {SpanKind.SERVER}
    assert {span.attributes["http.response.status_code"] for span in recorded} == {200}


async def test_a_request_that_is_not_answered_well_is_marked_in_the_trace(spans, exchange):
    """A venue that is broken, a client that left before the quote, and a reply that is lost."""
    body = orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": [exchange.swap(), {"encoding": "base64"}]}
    )

    def ended():
        return {
            (span.name, span.attributes.get("http.response.status_code"), span.status.status_code)
            for span in spans.get_finished_spans()
            if not span.name.endswith("/admin/settings")
        }

    lost = b"POST /rpc HTTP/1.1\r\nHost: mock\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with serving(exchange) as port:
        await exchange.ask.tune(quote_error_rate=1)
        await talk(port, get(QUOTE, "Connection: close"), until_closed=True)
        await exchange.ask.tune(quote_error_rate=0, quote_timeout_rate=0, quote_delay_ms=200)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(QUOTE))
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        await exchange.ask.tune(reply_lost_rate=1)
        await talk(port, lost, until_closed=True)
        await eventually(lambda: len(ended()) == 3)
    assert ended() == {
        ("GET /venues/raydium/quote", 500, StatusCode.ERROR),
        ("GET /venues/raydium/quote", None, StatusCode.ERROR),
        ("POST /rpc", None, StatusCode.ERROR),
    }


async def test_nothing_but_what_is_due_wakes_the_chain():
    """With an hour to the next block, a swap without delay lands because its acceptance has set the timer."""
    settings = MockdexSettings(mock_dex_block_ms=3_600_000, mock_dex_execution_delay_ms=0, mock_dex_failure_rate=0)
    running = Stepped()
    running.exchange = await Exchange.open(settings, on_failure=lambda: None)
    running.ask = Asked(running.exchange)
    for number in range(3):
        signature = await running.ask.send(running.swap(number))
        landed = None
        while landed is None:
            await asyncio.sleep(0.002)
            _, [landed] = await running.ask.statuses(signature)
    assert [row["slot"] for row in await running.ask.ledger()] == [1_001] * 3
    await running.close()


async def test_a_taken_port_is_named_with_its_variable(port):
    with pytest.raises(PortTaken, match=rf"^MOCKDEX_HOST, MOCKDEX_PORT: cannot listen on 127.0.0.1:{port} "):
        listen("127.0.0.1", port)
