"""HTTP connections whose clients have to come to the point."""

import asyncio
import math
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine_api import measures
from engine_api.connections.answers import problem
from engine_api.problems import HEAD_TOO_LARGE, MALFORMED_REQUEST, REQUEST_TIMEOUT, Refusal

MAX_HEAD_BYTES = 32 * 1024

# Whoever reads a body refuses one that comes too slowly; only what nobody reads is cut off here, later.
_PATIENCE_WITH_BODIES = 1.5


class HttpConnection(HttpToolsProtocol):
    """Knows when its client is overdue; uvicorn waits for ever for the end of a head or of a body."""

    def __init__(self, *args: Any, patience_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience_s = patience_s
        self._reads_head = True
        self._head_bytes = 0
        self._due_at = math.inf

    @property
    def overdue(self) -> bool:
        """Whether the rest of a request should have come long ago; a request under way is never interrupted."""
        return self._due_at < self.loop.time() and (self._idle or not self._reads_head)

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def give_up(self) -> None:
        """Close the connection of a client that is overdue."""
        measures.count_refused(REQUEST_TIMEOUT.code)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Expect a request."""
        super().connection_made(transport)
        self._due_at = self.loop.time() + self._patience_s

    def data_received(self, data: bytes) -> None:
        """Take what may be a part of a request, or several requests."""
        if self._reads_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._reads_head or self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(Refusal(HEAD_TOO_LARGE, f"request line and headers have at most {MAX_HEAD_BYTES} bytes"))
        elif self._due_at == math.inf and self._idle:
            # A blank line: no request begins with it, but it has ended the time for which an idle connection is kept.
            self._due_at = self.loop.time() + self._patience_s

    def on_message_begin(self) -> None:
        """Expect the rest of the head."""
        super().on_message_begin()
        self._due_at = self.loop.time() + self._patience_s

    def on_headers_complete(self) -> None:
        """Expect the body."""
        self._reads_head = False
        self._head_bytes = 0
        self._due_at = self.loop.time() + self._patience_s * _PATIENCE_WITH_BODIES
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect nothing for now."""
        self._reads_head = True
        self._due_at = math.inf
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP as everything else is answered."""
        self._refuse(Refusal(MALFORMED_REQUEST, msg))

    def _refuse(self, refusal: Refusal) -> None:
        measures.count_refused(refusal.kind.code)
        if self._idle:  # in the middle of another answer this one would only garble it
            headers, body = problem(refusal, self.server_state.default_headers)
            status = HTTPStatus(refusal.kind.status)
            head = [
                f"HTTP/1.1 {status.value} {status.phrase}",
                *(f"{name}: {value}" for name, value in headers.items()),
            ]
            self.transport.write("\r\n".join((*head, "", "")).encode("latin-1") + body)
        self.transport.close()
