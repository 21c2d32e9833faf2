import asyncio
import time
from typing import Any

import pytest
import uvloop
from benchmarks.load_client import LoadClient, connected

REQUESTS = [
    b'POST / HTTP/1.1\r\nHost: stub\r\nContent-Length: 7\r\n\r\n{"n":1}',
    b'POST / HTTP/1.1\r\nHost: stub\r\nContent-Length: 7\r\n\r\n{"n":2}',
]


def loaded(stub_api: Any, connections: int = 4) -> Any:
    return connected("127.0.0.1", stub_api.port, connections, REQUESTS)


async def test_every_allowed_request_is_sent_and_its_order_noted(stub_api: Any) -> None:
    """The client's list of accepted ids is what losses are judged by."""
    async with loaded(stub_api) as client:
        client.allow(50)
        async with asyncio.timeout(5):
            await client.all_answered()
        assert len(client.accepted) == len(set(client.accepted)) == len(client.latencies_s) == 50
        assert client.accepted[0] == b"01980000-0000-7000-8000-000000000001"
        assert not client.refusals
    assert len(stub_api.requests) == 50
    assert set(stub_api.requests) == set(REQUESTS)


async def test_a_connection_carries_one_request_at_a_time(stub_api: Any) -> None:
    """So many connections are so many requests at once, no more."""
    async with loaded(stub_api, connections=3) as client:
        client.allow(60)
        await client.all_answered()
    assert 1 <= stub_api.most_at_once <= 3


async def test_nothing_is_sent_that_was_not_allowed(stub_api: Any) -> None:
    """A closed loop depends on it."""
    async with loaded(stub_api) as client:
        client.allow(2)
        await client.all_answered()
        await asyncio.sleep(0.05)
        assert len(stub_api.requests) == client.allowed == client.answered == 2
        client.allow(3)
        await client.all_answered()
        assert len(stub_api.requests) == 5


async def test_an_answer_may_come_in_pieces(stub_api: Any) -> None:
    """TCP knows no messages: heads and bodies are put together again."""
    whole = stub_api.answer

    def pieces(number: int) -> list[bytes]:
        answer = whole(number)[0]
        return [answer[:10], answer[10:60], answer[60:-5], answer[-5:]]

    stub_api.answer = pieces
    async with loaded(stub_api, connections=1) as client:
        client.allow(3)
        await client.all_answered()
        assert [each[-1:] for each in client.accepted] == [b"1", b"2", b"3"]


async def test_refusals_are_counted_by_status_and_are_no_orders(stub_api: Any) -> None:
    """An error must not pass for throughput."""
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
    whole = stub_api.answer
    stub_api.answer = lambda number: [refusal] if number % 2 else whole(number)
    async with loaded(stub_api) as client:
        client.allow(10)
        await client.all_answered()
    assert client.refusals == {"503": 5}
    assert len(client.accepted) == 5


async def test_an_acceptance_without_an_order_id_does_not_count(stub_api: Any) -> None:
    """Such an order could never be looked for."""
    stub_api.answer = lambda _: [b'HTTP/1.1 202 Accepted\r\nContent-Length: 13\r\n\r\n{"orderId":1}']
    async with loaded(stub_api) as client:
        client.allow(1)
        await client.all_answered()
    assert client.refusals == {"202": 1}


async def test_a_request_without_an_answer_is_reported_and_the_rest_goes_on(stub_api: Any) -> None:
    """Whether such an order was stored is unknown."""
    whole = stub_api.answer
    stub_api.answer = lambda number: [b""] if number == 3 else whole(number)
    async with loaded(stub_api, connections=2) as client:
        client.allow(20)
        await client.all_answered()
    assert client.refusals == {"no answer": 1}
    assert len(client.accepted) == 19


async def test_without_any_connection_left_the_client_gives_up(stub_api: Any) -> None:
    """It does not wait for ever."""
    stub_api.answer = lambda _: [b""]
    async with loaded(stub_api, connections=2) as client:
        client.allow(10)
        async with asyncio.timeout(5):
            await client.all_answered()
        assert client.refusals == {"no answer": 2, "no connection": 8}


async def test_a_connection_closed_while_idle_is_no_error(stub_api: Any) -> None:
    """Servers close what is idle for long."""
    whole = stub_api.answer
    stub_api.answer = lambda number: [*whole(number), b""] if number == 1 else whole(number)
    async with loaded(stub_api, connections=2) as client:
        client.allow(1)
        await client.all_answered()
        await asyncio.sleep(0.1)
        client.allow(5)
        await client.all_answered()
        assert not client.refusals
        assert len(client.accepted) == 6


async def test_connecting_to_nobody_fails_at_once() -> None:
    """No system, no measurement."""
    with pytest.raises(OSError, match="Connect call failed"):
        await LoadClient(REQUESTS).connect("127.0.0.1", 1, 1)


def test_it_works_on_uvloop_and_says_when_the_last_answer_came(stub_api_answer: bytes) -> None:
    """The benchmarks run on uvloop, whose transports are not asyncio's own."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert data in REQUESTS
            self.transport.write(stub_api_answer)

    async def run() -> LoadClient:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, connected("127.0.0.1", port, 2, REQUESTS) as client:
            client.allow(10)
            await client.all_answered()
            return client

    began = time.time()
    client = uvloop.run(run())
    assert len(client.accepted) == 10
    assert began < client.last_answer_at < time.time()
