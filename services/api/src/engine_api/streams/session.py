"""The life of a WebSocket: handshake, work, and an end that says why."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, NamedTuple

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected, WebSocketState

from engine_api import measurements
from engine_api.access.caller import caller_of
from engine_api.access.credentials import subprotocol
from engine_api.boundary import as_refusal
from engine_api.components import State
from engine_api.problems import UNEXPECTED_MESSAGE, Kind, Refusal, document
from engine_api.streams.outlet import TooSlow

FINISHED = 1000
_GONE = 1006  # never sent: what a connection ends with that just broke
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
UNKNOWN_ORDER = 4004
TOO_SLOW = 4008
NOT_ALLOWED = 4401
INVALID = 4422

# By the status that the same refusal has over HTTP; everything else is the client's mistake.
_CLOSE_CODES = {
    401: NOT_ALLOWED,
    404: UNKNOWN_ORDER,
    408: TOO_SLOW,
    429: TRY_AGAIN_LATER,
    500: INTERNAL_ERROR,
    503: TRY_AGAIN_LATER,
}

# A client that reads too slowly has this long to take what is on its way to it, and the close after that.
_FAREWELL_WITHIN_S = 10.0
_MAX_REASON_BYTES = 123
_CANCEL_AGAIN_AFTER_S = 1.0
# A client may send messages faster than their answers are worth; meanwhile no more of them are read.
_ANSWER_EVERY_S = 0.1

Socket = WebSocket[State]


class Farewell(NamedTuple):
    """How a socket ends."""

    code: int
    reason: str = ""


Handler = Callable[[Socket], Awaitable[Farewell]]


def serving(handler: Handler) -> Callable[[Socket], Awaitable[None]]:
    """Wrap a handler: the handshake is accepted first, because before it a client sees no close code but HTTP 403."""

    @wraps(handler)
    async def serve(socket: Socket) -> None:
        await socket.accept(subprotocol(socket.scope))
        measurements.count_socket(1)
        try:
            farewell = await _outcome(handler, socket)
            await _close(socket, farewell)
        except WebSocketDisconnect:
            return
        finally:
            measurements.count_socket(-1)

    return serve


async def _outcome(handler: Handler, socket: Socket) -> Farewell:
    try:
        if not _is_allowed_origin(socket):
            return Farewell(NOT_ALLOWED, "pages of this origin may not connect")
        return await _let_in(handler, socket)
    except WebSocketDisconnect:
        raise
    except TooSlow as error:
        return Farewell(TOO_SLOW, f"{error}; reconnect to go on after the last one")
    except Exception as error:  # noqa: BLE001 - the boundary decides what the client hears of it
        return farewell_of(error, socket)


async def _let_in(handler: Handler, socket: Socket) -> Farewell:
    """Serve the socket as long as its key is in force. Raises what the handler raises, and Refusal."""
    stay = asyncio.timeout(None)
    try:
        async with stay:
            with socket.state["doors"].presence.entered(caller_of(socket), lambda: stay.reschedule(0)):
                return await handler(socket)
    except TimeoutError:
        if stay.expired():
            return Farewell(NOT_ALLOWED, "the API key was revoked")
        raise


async def turn_away(socket: Socket, error: Exception) -> None:
    """Accept the handshake of a socket that is not served, and close it with the reason."""
    with contextlib.suppress(WebSocketDisconnect):
        await socket.accept(subprotocol(socket.scope))
        await _close(socket, farewell_of(error, socket))


def close_code(kind: Kind) -> int:
    """Return the code with which a socket is closed on a refusal of this kind."""
    return _CLOSE_CODES.get(kind.status, INVALID)


def farewell_of(error: Exception, socket: Socket) -> Farewell:
    """Return how a socket ends on the error."""
    refusal = as_refusal(error, socket.scope)
    measurements.count_refused(refusal.kind.code)
    return Farewell(close_code(refusal.kind), refusal.detail)


def _is_allowed_origin(socket: Socket) -> bool:
    """Browsers ask for no permission before they open a WebSocket, so the origin is looked at here.

    As with CORS, a page of the api's own origin may, and of others only those that are listed.
    """
    allowed = socket.state["allowed_origins"]
    origin = socket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return origin.partition("://")[2] == socket.headers.get("host")


async def until_gone(socket: Socket, streaming: Coroutine[Any, Any, None]) -> None:
    """Stream until the stream ends or the client is gone; what the client says meanwhile is answered by a problem.

    Raises what the stream raises, and WebSocketDisconnect.
    """
    stream = asyncio.create_task(streaming)
    listening = asyncio.create_task(_listen(socket))
    try:
        await asyncio.wait((stream, listening), return_when=asyncio.FIRST_COMPLETED)
        if stream.cancelled():
            raise TooSlow("updates came faster than they were read")  # noticed in the moment of its end
        (stream if stream.done() else listening).result()
    finally:
        await _end(stream, listening)


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks until they have ended: before Python 3.12 asyncio.wait_for() may swallow a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCEL_AGAIN_AFTER_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # so that none is said to be never retrieved


async def _listen(socket: Socket) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        await _answer_unexpected(socket)
        await asyncio.sleep(_ANSWER_EVERY_S)


async def _answer_unexpected(socket: Socket) -> None:
    refusal = Refusal(
        UNEXPECTED_MESSAGE,
        "this WebSocket only streams events now, so the message was not read and nothing was done: "
        "place a further order on another WebSocket at /api/orders/execute, or by POST",
    )
    measurements.count_refused(refusal.kind.code)
    await send_text(socket, orjson.dumps(document(refusal)).decode())


async def send_text(socket: Socket, text: str) -> None:
    """Send a message. Raises WebSocketDisconnect, also where another task has found out that the client is gone."""
    try:
        await socket.send_text(text)
    except WebSocketDisconnected:
        raise WebSocketDisconnect(_GONE) from None


async def _close(socket: Socket, farewell: Farewell) -> None:
    if WebSocketState.DISCONNECTED in (socket.client_state, socket.application_state):
        return  # the client has left, as it said itself or as a message to it has found
    reason = farewell.reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FAREWELL_WITHIN_S):
            await socket.close(farewell.code, reason)
