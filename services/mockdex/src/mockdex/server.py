"""The HTTP server: uvicorn, with connections that can be closed without an answer."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mockdex.answers import HANG_UP

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import ASGIApp

# Longer than clients keep idle connections, so that none is closed just as it is used again.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048


class PortTaken(Exception):
    """The address to listen on is not to be had."""


class Protocol(HttpToolsProtocol):
    """Lets the application hang up."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: self.transport.close}  # type: ignore[typeddict-item] # an extension of ours


class Server(uvicorn.Server):
    """Leaves signals to the program, which exits with 0 after them."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind the port; raise PortTaken with a sentence that names the variable to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(f"MOCKDEX_PORT: cannot listen on {host}:{port} ({error.strerror}); set another one.") from None
    return listener


def make_server(app: ASGIApp) -> Server:
    """Make a server without access log; telemetry has its own way of telling what happened."""
    return Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=2,
            backlog=_BACKLOG,
        )
    )
