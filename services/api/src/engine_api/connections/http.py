"""HTTP connections whose clients have to come to the point."""

import asyncio
import math
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from engine_api import measurements
from engine_api.access_log import log_refused
from engine_api.bodies import WHOLE
from engine_api.connections.answers import problem
from engine_api.connections.heads import refusal_of_head
from engine_api.problems import HEAD_TOO_LARGE, MALFORMED_REQUEST, REQUEST_TIMEOUT, Refusal

MAX_HEAD_BYTES = 32 * 1024

# Of a body after its answer, so much is taken and thrown away: a close would take the answer along.
_MAX_UNREAD_BYTES = 1024 * 1024

# Whoever reads a body refuses one that comes too slowly; only what nobody reads is cut off here, later.
_PATIENCE_WITH_BODIES = 1.5


class HttpConnection(HttpToolsProtocol):
    """Knows when its client is overdue; uvicorn waits for ever for the end of a head or of a body.

    Seen from outside: a request's scope is made when its head begins, and its cycle when the head ends.
    """

    def __init__(self, *args: Any, patience_s: float, access_log: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience_s = patience_s
        self._access_log = access_log
        # What is waited for, and until when: the rest of a head (its scope), of a body (its cycle), or any request.
        self._awaited: object = None
        self._due_at = math.inf
        self._head_bytes = 0  # at least as many as the head has that is being read
        self._bytes_without_body = 0
        self._head_refusal: Refusal | None = None
        self._running: RequestResponseCycle | None = None

    @property
    def overdue(self) -> bool:
        """Whether what is waited for should have come long ago; a request under way is never interrupted."""
        return self._due_at < self.loop.time() and (self._awaited is self.cycle or self._idle)

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def give_up(self) -> None:
        """Close the connection of a client that is overdue."""
        measurements.count_refused(REQUEST_TIMEOUT.code)
        if self._access_log:
            log_refused(REQUEST_TIMEOUT.status, REQUEST_TIMEOUT.code)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Expect a request."""
        super().connection_made(transport)
        self._due_at = self.loop.time() + self._patience_s

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request under way; uvicorn tells only the last one that was read, which may still wait its turn."""
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what may be a part of a request, or several requests."""
        self._head_bytes += len(data)
        self._bytes_without_body += len(data)
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # pyright: ignore[reportUnnecessaryComparison]
            self._await(self.scope, self._patience_s)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(_head_too_large())
            return
        self._head_bytes = 0
        if cycle.more_body:
            self._await(cycle, self._patience_s * _PATIENCE_WITH_BODIES)
            most = _MAX_UNREAD_BYTES if cycle.response_complete else MAX_HEAD_BYTES
            if self._bytes_without_body > most and not self.transport.is_closing():
                self._refuse(_trailers_too_large())
        elif cycle.response_complete:
            # A blank line: no request begins with it, but it has ended the time for which an idle connection is kept.
            self._await(None, self._patience_s)
        else:
            cycle.scope[WHOLE] = True  # pyright: ignore[reportGeneralTypeIssues] - a scope may hold more than its type
            self._due_at = math.inf

    def _await(self, awaited: object, patience_s: float) -> None:
        if self._due_at == math.inf or self._awaited is not awaited:
            self._awaited = awaited
            self._due_at = self.loop.time() + patience_s

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are ignored, as nobody has looked at them who looked at the head."""
        if self.cycle is None or self.cycle.scope is not self.scope:  # pyright: ignore[reportUnnecessaryComparison]
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, however small: it is progress as long as somebody waits for it."""
        if not self.cycle.response_complete:
            self._bytes_without_body = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Begin the request, unless its head is refused; the parser is told so, as all may have come at once."""
        too_large = self._head_bytes > MAX_HEAD_BYTES and self._head_size > MAX_HEAD_BYTES
        version = self.parser.get_http_version()  # pyright: ignore[reportOptionalMemberAccess] - it calls this
        refusal = _head_too_large() if too_large else refusal_of_head(self.headers, version)
        if refusal is not None:
            self._head_refusal = refusal
            raise refusal
        self._bytes_without_body = 0
        super().on_headers_complete()

    @property
    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP as everything else is answered."""
        self._refuse(self._head_refusal or Refusal(MALFORMED_REQUEST, msg))

    def _should_upgrade(self) -> bool:
        return self.scope["method"] != "HEAD" and super()._should_upgrade()  # its refusal would have a body

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: Refusal) -> None:
        measurements.count_refused(refusal.kind.code)
        running = self._running
        if running is not None and not running.response_complete and not running.more_body:
            # A request before this one is under way, and may place an order: it is answered, and nothing after it.
            running.keep_alive = False
            self.pipeline.clear()
            self.flow.pause_reading()
            return
        cycle = self.cycle
        # A second answer to one request would be taken for the next one's.
        answered = cycle is not None and cycle.scope is self.scope and cycle.more_body and cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        if not answered and (running is None or not running.response_started or running.response_complete):
            self.transport.write(self._answer(refusal))
        elif self._access_log:
            log_refused(refusal.kind.status, refusal.kind.code)
        self.transport.close()

    def _answer(self, refusal: Refusal) -> bytes:
        headers, body = problem(refusal, self.server_state.default_headers, access_log=self._access_log)
        status = HTTPStatus(refusal.kind.status)
        head = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        asked_for_head = self.parser is not None and self.parser.get_method() == b"HEAD"  # pyright: ignore[reportUnnecessaryComparison]
        return "\r\n".join((*head, "", "")).encode("latin-1") + (b"" if asked_for_head else body)


def _head_too_large() -> Refusal:
    return Refusal(HEAD_TOO_LARGE, f"request line and headers have at most {MAX_HEAD_BYTES} bytes")


def _trailers_too_large() -> Refusal:
    return Refusal(HEAD_TOO_LARGE, f"a chunk's extensions, and trailers, have at most {MAX_HEAD_BYTES} bytes")
