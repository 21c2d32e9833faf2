"""Liveness, readiness and metrics of a process, served from its own event loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine_common.listening import in_url, open_listener
from engine_common.supervision import supervised
from engine_common.telemetry import metrics
from engine_common.telemetry.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from starlette.requests import Request

READY_TIMEOUT_S = 2.0


class PortTaken(OSError):
    """METRICS_PORT names a port that cannot be listened on."""


async def serve_probes(
    port: int,
    ready: Callable[[], Awaitable[dict[str, str]]],
    host: str,
) -> ProbeServer:
    """Serve /livez, /readyz and /metrics from the running event loop until the returned handle is closed.

    `ready` gives "up" or "down" for each thing the process depends on. Raises PortTaken.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        probe_app(ready), log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    return ProbeServer(_Guest(config), listener)


class ProbeServer:
    """The handle of running probes."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self._server = server
        self._stopping = False
        self._task = asyncio.create_task(self._serve(listener), name="probes")

    async def close(self) -> None:
        """Stop serving and free the port."""
        self._stopping = True
        self._server.should_exit = True
        await self._task

    async def _serve(self, listener: socket.socket) -> None:
        """Serve until closed; the kubelet judges the process by its probes alone, so their end is its end."""
        await supervised(self._server.serve(sockets=[listener]), "probes", until=lambda: self._stopping)


class _Guest(uvicorn.Server):
    """Leaves the signals to the process in which it is a guest."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def probe_app(ready: Callable[[], Awaitable[dict[str, str]]]) -> Starlette:
    """Build the probes as an application."""

    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def readyz(_request: Request) -> Response:
        checks = await _answer(ready)
        status = "up" if all(value == "up" for value in checks.values()) else "down"
        return JSONResponse({"status": status, **checks}, status_code=200 if status == "up" else 503)

    async def exposition(_request: Request) -> Response:
        body, content_type = metrics.exposition()
        return Response(body, headers={"content-type": content_type})

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)])


async def _answer(ready: Callable[[], Awaitable[dict[str, str]]]) -> dict[str, str]:
    """Ask for readiness; a check that fails or does not answer in time is a thing that is down."""
    checks = asyncio.wait_for(ready(), READY_TIMEOUT_S)
    (answer,) = await asyncio.gather(checks, return_exceptions=True)
    if isinstance(answer, BaseException):
        log.warning("the readiness check failed", exc_info=answer)
        return {"check": "down"}
    return answer


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = open_listener(host, port)
    except OSError as error:
        raise PortTaken(
            f"METRICS_HOST, METRICS_PORT: cannot listen on {in_url(host)}:{port} ({error.strerror}); "
            "set them to a free address, or unset METRICS_PORT to serve no probes."
        ) from None
    listener.listen()
    listener.setblocking(False)
    return listener
