"""What the proxy does to those who talk through it, in every weather."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chaos.proxy import FAIR, Proxy, Weather, proxy_before
from devstack.ports import free_port

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Put a proxy before a server that says back what it hears."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with proxy_before("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said_back(peer: Peer, data: bytes) -> bytes:
    reader, writer = peer
    writer.write(data)
    return await reader.readexactly(len(data))


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.2):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_in_fair_weather_everything_passes(proxy: Proxy) -> None:
    """In both directions, whatever its size."""
    async with connected(proxy) as peer:
        assert await said_back(peer, b"hello") == b"hello"
        data = bytes(range(256)) * 4096
        assert await said_back(peer, data) == data


async def test_delay_holds_every_message_up(proxy: Proxy) -> None:
    """There and back: twice the delay at least."""
    proxy.weather = Weather(delay_s=0.05, jitter_s=0.0)
    async with connected(proxy) as peer:
        began = time.monotonic()
        assert await said_back(peer, b"hello") == b"hello"
        assert time.monotonic() - began >= 0.1


async def test_what_is_swallowed_arrives_when_the_weather_clears(proxy: Proxy) -> None:
    """Connections stay open and new ones are accepted, as in a network that loses packets."""
    async with connected(proxy) as old:
        await said_back(old, b"before")
        proxy.weather = Weather(swallows=True)
        async with connected(proxy) as new:
            for reader, writer in (old, new):
                writer.write(b"hello")
                assert await is_silent(reader)
            proxy.weather = FAIR
            for reader, _ in (old, new):
                assert await reader.readexactly(5) == b"hello"


async def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_over(proxy: Proxy) -> None:
    """Then everything is as before."""
    async with connected(proxy) as peer:
        await said_back(peer, b"before")
        proxy.weather = Weather(refuses=True)
        assert await peer[0].read() == b""
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with connected(proxy) as peer:
            await said_back(peer, b"meanwhile")
    proxy.weather = FAIR
    async with connected(proxy) as peer:
        assert await said_back(peer, b"after") == b"after"


async def test_tearing_resets_in_the_middle_of_the_next_message(proxy: Proxy) -> None:
    """The peer gets a reset and never the whole message; connections made later are whole."""
    async with connected(proxy) as (reader, writer):
        await said_back((reader, writer), b"before")
        proxy.tear()
        writer.write(b"x" * 1000)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1000)
    async with connected(proxy) as peer:
        assert await said_back(peer, b"after") == b"after"


async def test_a_trickle_is_slow_and_complete(proxy: Proxy) -> None:
    """2,000 bytes there and back at 10,000 bytes a second."""
    proxy.weather = Weather(bytes_per_s=10_000)
    async with connected(proxy) as peer:
        began = time.monotonic()
        data = bytes(range(250)) * 8
        assert await said_back(peer, data) == data
        assert time.monotonic() - began >= 0.15  # the first piece goes at once


async def test_what_the_target_says_may_come_twice(proxy: Proxy) -> None:
    """The second time a little later; what is said to it goes once."""
    async with connected(proxy) as peer:
        await said_back(peer, b"before")
        proxy.weather = Weather(repeats=True)
        assert await said_back(peer, b"hello") == b"hello"
        assert await peer[0].readexactly(5) == b"hello"
        proxy.weather = FAIR
        assert await said_back(peer, b"after") == b"after"
        assert await is_silent(peer[0])


async def test_a_target_that_is_away_is_a_reset() -> None:
    """And nothing stays open."""
    async with proxy_before("127.0.0.1", free_port()) as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert proxy.connections == 0


def test_a_url_keeps_all_but_its_address() -> None:
    """Credentials, database and query lead through the proxy to the same place."""
    proxy = Proxy("127.0.0.1", 5432)
    proxy.port = 7
    assert proxy.url("postgresql://me:p%40ss@db:5432/orders?a=b") == "postgresql://me:p%40ss@127.0.0.1:7/orders?a=b"
    assert proxy.url("redis://127.0.0.1:6379/0") == "redis://127.0.0.1:7/0"
