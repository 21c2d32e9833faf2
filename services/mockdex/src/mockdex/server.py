"""The HTTP server: uvicorn, with an express lane for quotes and connections that can be closed without an answer."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from engine_common.listening import in_url, open_listener
from mockdex.answers import HANG_UP, Answer
from mockdex.latency import Latency
from mockdex.spans import begin_answer, end_answer

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from opentelemetry.trace import Span
    from starlette.types import ASGIApp
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from mockdex.quotes import Asking, QuoteDesk

# Longer than clients keep idle connections, so that none is closed just as it is used again.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048


class PortTaken(Exception):
    """The address to listen on is not to be had."""


class _NobodyWaits:
    """Stands where the server would wake an application that waits for a body or a disconnection."""

    def set(self) -> None:
        """Wake nobody."""


class ExpressCycle:
    """A quote in the place of the server's request and response cycle: a timer and one write, no task, no scope."""

    message_event = _NobodyWaits()

    def __init__(self, protocol: Protocol, desk: QuoteDesk, asking: Asking, span: Span, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self._span = span
        self._desk = desk
        self._asking = asking
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = True
        self.body = b""

    def start(self) -> None:
        """Answer after the latency that was drawn."""
        if self._asking.delay_ms:
            self._protocol.latency.after(self._asking.delay_ms, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        if self.disconnected:
            end_answer(self._span, None)
            return
        protocol = self._protocol
        try:
            answer = self._desk.answer(self._asking.outcome)
        except Exception:
            end_answer(self._span, None)
            protocol.transport.close()  # nobody waits in vain; the event loop logs what is raised
            raise
        end_answer(self._span, answer.status)
        protocol.transport.write(_on_the_wire(answer, keep_alive=self.keep_alive))
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


def _on_the_wire(answer: Answer, *, keep_alive: bool) -> bytes:
    head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\n" % (
        STATUS_LINE[answer.status],
        len(answer.body),
    )
    for header in answer.headers:
        head += b"%b: %b\r\n" % header
    return b"%b%b\r\n%b" % (head, b"" if keep_alive else b"connection: close\r\n", answer.body)


class Protocol(HttpToolsProtocol):
    """Takes quotes by the express lane and everything else, like uvicorn, to the application."""

    desks: Mapping[bytes, QuoteDesk] = {}
    latency: Latency

    def on_message_begin(self) -> None:
        """Begin a request; most need no scope."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Answer a quote, or make up for what the application needs."""
        path, _, query = self.url.partition(b"?")
        desk = self.desks.get(path)
        parser = self.parser
        if desk is not None and parser is not None and parser.get_method() == b"GET" and not self.expect_100_continue:
            span = begin_answer(self.headers, "GET", path.decode())
            self._express(desk, desk.ask(query), span, keep_alive=parser.should_keep_alive())
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        self.scope["extensions"] = {HANG_UP: self.transport.close}  # type: ignore[typeddict-item] # an extension of ours
        super().on_headers_complete()

    def _express(self, desk: QuoteDesk, asking: Asking, span: Span, *, keep_alive: bool) -> None:
        before = cast("RequestResponseCycle | None", self.cycle)
        cycle = ExpressCycle(self, desk, asking, span, keep_alive=keep_alive)
        self.cycle = cast("RequestResponseCycle", cycle)
        if before is None or before.response_complete:
            cycle.start()
        else:  # a pipelined request waits for its turn
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, cast("ASGI3Application", self.app)))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if isinstance(cycle, ExpressCycle):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)


class Server(uvicorn.Server):
    """Leaves signals to the program, which exits with 0 after them."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind the port; raise PortTaken with a sentence that names the variable to change."""
    try:
        listener = open_listener(host, port)
    except OSError as error:
        where = f"{in_url(host)}:{port}"
        raise PortTaken(
            f"MOCKDEX_HOST, MOCKDEX_PORT: cannot listen on {where} ({error.strerror}); set them to a free address."
        ) from None
    listener.listen(_BACKLOG)
    return listener


def make_server(app: ASGIApp, desks: Mapping[str, QuoteDesk]) -> Server:
    """Make a server without access log that takes these paths by the express lane."""
    by_path = {path.encode(): desk for path, desk in desks.items()}
    protocol = type("ExpressProtocol", (Protocol,), {"desks": by_path, "latency": Latency()})
    return Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=2,
            backlog=_BACKLOG,
        )
    )
