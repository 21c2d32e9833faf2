"""Liveness, readiness and metrics over HTTP, from the event loop of the process."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from engine_common.telemetry import probes
from engine_common.telemetry.probes import PortTaken, serve_probes

Checks = Callable[[], Awaitable[dict[str, str]]]


async def all_up() -> dict[str, str]:
    return {"postgresql": "up", "redis": "up"}


async def redis_down() -> dict[str, str]:
    return {"postgresql": "up", "redis": "down"}


async def failing() -> dict[str, str]:
    raise ConnectionError("postgresql://engine:secret@db refused")


async def hanging() -> dict[str, str]:
    await asyncio.sleep(3600)
    return {}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """Ask over HTTP."""
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(client: aiohttp.ClientSession, path: str, ready: Checks = all_up) -> tuple[int, str, str]:
    server = await serve_probes(0, ready, host="127.0.0.1")
    try:
        async with client.get(f"http://127.0.0.1:{server.port}{path}") as response:
            return response.status, response.headers["content-type"], await response.text()
    finally:
        await server.close()


async def test_livez_answers_whatever_is_down(client: aiohttp.ClientSession) -> None:
    """A broker's trouble must not restart the process."""
    status, _, body = await ask(client, "/livez", redis_down)
    assert (status, body) == (200, '{"status":"up"}')


async def test_readyz_is_200_when_all_is_up(client: aiohttp.ClientSession) -> None:
    """And names what it looked at."""
    status, _, body = await ask(client, "/readyz")
    assert (status, body) == (200, '{"status":"up","postgresql":"up","redis":"up"}')


async def test_readyz_is_503_when_something_is_down(client: aiohttp.ClientSession) -> None:
    """And names what."""
    status, _, body = await ask(client, "/readyz", redis_down)
    assert (status, body) == (503, '{"status":"down","postgresql":"up","redis":"down"}')


@pytest.mark.parametrize("ready", [failing, hanging])
async def test_a_check_that_fails_or_hangs_is_down(
    ready: Checks, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe answers in time and tells the caller nothing of the inside."""
    monkeypatch.setattr(probes, "READY_TIMEOUT_S", 0.05)
    status, _, body = await ask(client, "/readyz", ready)
    assert (status, body) == (503, '{"status":"down","check":"down"}')


async def test_metrics_are_prometheus_text(client: aiohttp.ClientSession) -> None:
    """Even where none are collected."""
    status, content_type, _ = await ask(client, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")


async def test_a_taken_port_is_one_sentence_that_names_the_variable() -> None:
    """The operator learns what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as raised:
            await serve_probes(port, all_up, host="127.0.0.1")
    assert str(raised.value) == (
        f"METRICS_HOST, METRICS_PORT: cannot listen on 127.0.0.1:{port} (Address already in use); "
        "set them to a free address, or unset METRICS_PORT to serve no probes."
    )


async def test_the_signals_stay_with_the_process() -> None:
    """The process stops when and how it wants to."""
    before = signal.getsignal(signal.SIGTERM)
    server = await serve_probes(0, all_up, host="127.0.0.1")
    await asyncio.sleep(0)
    assert signal.getsignal(signal.SIGTERM) is before
    await server.close()


async def test_the_port_is_free_after_close(client: aiohttp.ClientSession) -> None:
    """Even with a connection kept alive, and soon."""
    server = await serve_probes(0, all_up, host="127.0.0.1")
    async with client.get(f"http://127.0.0.1:{server.port}/livez") as response:
        await response.read()
    async with asyncio.timeout(3):
        await server.close()
    again = await serve_probes(server.port, all_up, host="127.0.0.1")
    await again.close()
