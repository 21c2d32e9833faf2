"""WebSocket connections that bound what a client can make the process keep."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from engine_api.connections.answers import problem
from engine_api.problems import MALFORMED_REQUEST, Refusal

_MAX_FRAGMENTS = 1000


class _Handshake(ServerProtocol):
    """Refuses handshakes as requests are refused, and repeats nothing of what the client sent."""

    default_headers: list[tuple[bytes, bytes]]
    access_log: bool

    def reject(self, status: int, text: str) -> Response:
        """Return the refusal."""
        del text
        kind = replace(MALFORMED_REQUEST, status=int(status))
        headers, body = problem(
            Refusal(kind, "no WebSocket is opened by this request"), self.default_headers, access_log=self.access_log
        )
        return Response(kind.status, HTTPStatus(status).phrase, Headers(headers), body)


class SocketConnection(WebSocketsSansIOProtocol):
    """Ends what uvicorn would go on with: handshakes it cannot read, endless fragments, pongs nobody takes."""

    def __init__(self, *args: Any, access_log: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Handshake(max_size=self.config.ws_max_size, logger=self.logger)
        self.conn.default_headers = self.default_headers
        self.conn.access_log = access_log

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that the library does not read leaves no event, and would leave the connection open."""
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            refusal = b"".join(self.conn.data_to_send()) or self.conn.reject(HTTPStatus.BAD_REQUEST, "").serialize()
            self.transport.write(refusal)
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application says, unless the client was gone before its handshake was accepted."""
        if not self.handshake_complete and self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)

    def handle_parser_exception(self) -> None:
        """Close on a client's mistake; who is just about to send hears that the client is gone, not that it erred."""
        super().handle_parser_exception()
        self.disconnected = True

    def keepalive_timeout(self) -> None:
        """Give a client up that answers no ping, in the same way."""
        super().keepalive_timeout()
        self.disconnected = self.disconnected or self.close_sent

    def handle_ping(self) -> None:
        """Answer a ping, unless the answers before are not taken."""
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(output)

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment; those without content count for no size."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG)
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message over; what is no text is the client's mistake, and no error of ours to be logged."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA)
                return
        super().send_receive_event_to_app()

    def _fail(self, code: CloseCode) -> None:
        self.frames = []
        self.conn.fail(code)
        self.handle_parser_exception()
