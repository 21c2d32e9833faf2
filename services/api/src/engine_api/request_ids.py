"""The id of each request: in its answer, in its log lines, in what a problem document says."""

import re
from collections.abc import Iterable

import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"

_HEADERS = "engine_api.headers"
_NAME = HEADER.lower().encode()
_harmless = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")


def current_request_id() -> str | None:
    """Return the id of the request that is being served."""
    return structlog.contextvars.get_contextvars().get("request_id")


def new_request_id() -> str:
    """Return an id for a request that came without one."""
    return str(uuid_utils.uuid7())


def add_headers(scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Have the answer carry these headers, whether it will be a success or a refusal."""
    scope[_HEADERS].extend(headers)


class RequestIds:
    """Gives each request the id that the client wishes for, if it is a harmless one, or one of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or new_request_id()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        headers = scope[_HEADERS] = [(_NAME, request_id.encode())]

        async def named(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, named)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _NAME:
            return value.decode() if _harmless.fullmatch(value) else None
    return None
