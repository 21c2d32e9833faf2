"""Runs one api process: `python -m engine_api`."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Generator
from functools import partial
from typing import Any

import uvicorn
import uvloop

from engine_api.app import make_app
from engine_api.bodies import MAX_BYTES
from engine_api.connections.answers import security_headers
from engine_api.connections.descriptors import DescriptorWatch
from engine_api.connections.http import HttpConnection
from engine_api.connections.websocket import SocketConnection
from engine_api.settings import ApiSettings
from engine_common import telemetry
from engine_common.listening import in_url, open_listener
from engine_common.runtime import prepare_process
from engine_common.settings import load_or_exit

log = logging.getLogger(__name__)

# Seconds.
_KEEP_ALIVE_S = 100
_PING_EVERY_S = 15
_PONG_WITHIN_S = 20
_UNREAD_WITHIN_S = 30

_TICKS_A_SECOND = 10

_SEND_BUFFER_BYTES = 256 * 1024


class Server(uvicorn.Server):
    """Stops on a signal and returns, where uvicorn would raise the signal again and end with its code."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._descriptors = DescriptorWatch()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle signals in the event loop."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop)
        yield

    def _stop(self) -> None:
        log.info("stopping")
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Do what is due every 0.1 s; give up overdue clients once a second."""
        if counter % _TICKS_A_SECOND == 0:
            self._descriptors.look()
            for connection in [one for one in self.server_state.connections if isinstance(one, HttpConnection)]:
                if connection.overdue:
                    connection.give_up()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if not self.should_exit:
            bound = (one.getsockname()[:2] for one in sockets or ())
            log.info("ready on %s", ", ".join(f"{in_url(host)}:{port}" for host, port in bound))


def make_server(settings: ApiSettings) -> Server:
    """Return the server of the application; nothing is opened yet."""
    # uvicorn calls whatever it is given, and says that it wants a class.
    http: Any = partial(HttpConnection, patience_s=settings.client_patience_s, access_log=settings.access_log)
    sockets: Any = partial(SocketConnection, access_log=settings.access_log)
    return Server(
        uvicorn.Config(
            make_app(settings),
            http=http,
            ws=sockets,
            headers=security_headers(tls_only=settings.env == "production"),
            log_config=None,
            access_log=False,
            server_header=False,
            reset_contextvars=True,  # else a request may be logged under the account of its connection's one before
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.finish_within_s,
            ws_max_size=MAX_BYTES,
            ws_ping_interval=_PING_EVERY_S,
            ws_ping_timeout=_PONG_WITHIN_S,
            ws_per_message_deflate=False,  # its buffers would cost every socket more memory than all else
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return the socket on which the api listens; raise OSError when the address cannot be had."""
    listener = open_listener(host, port)
    # Inherited by every connection: a peer that reads no more does not keep its buffers here for ever.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_WITHIN_S * 1000)
    # Inherited too: what a slow reader has not taken yet stays small, and is noticed.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listener


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load_or_exit(ApiSettings)
    host, port = settings.api_host, settings.api_port
    try:
        listener = listen(host, port)
    except OSError as error:
        where = f"{in_url(host)}:{port}"
        sys.exit(f"API_HOST, API_PORT: cannot listen on {where} ({error.strerror}); set them to a free address.")
    telemetry.start("engine-api", settings)
    prepare_process()
    # It has a line for every WebSocket, with the query, and a warning for each malformed request.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        uvloop.run(make_server(settings).serve([listener]))
    finally:
        telemetry.stop()


if __name__ == "__main__":
    main()
