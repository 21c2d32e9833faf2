"""The access log: one line per request, and two per WebSocket, without any content of the client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from engine_common.telemetry.asgi import PROBES
from engine_common.telemetry.logs import log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNKNOWN_ROUTE = "unknown"


class AccessLog:
    """Logs each request with its method, route, status and duration; probes are left out.

    `request_id`, `trace_id`, `account` and `order_id` come from the request's context, as for every line about it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status: int | None = None  # stays so when the client is gone before the answer

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = status or 500
            raise
        finally:
            log.info(
                "http.request",
                method=scope["method"],
                route=_route(scope),
                status=status,
                duration_ms=_since(began),
                **_account(scope),
            )

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        code: int | None = None
        messages = 0

        async def watched_send(message: Message) -> None:
            nonlocal code, messages
            await send(message)
            match message["type"]:
                case "websocket.send":
                    messages += 1
                case "websocket.close":
                    code = message.get("code", 1000)
                case "websocket.accept":
                    log.info("websocket.opened", route=_route(scope), **_account(scope))
                case _:
                    pass

        async def watched_receive() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect" and code is None:
                code = message.get("code")
            return message

        try:
            await self._app(scope, watched_receive, watched_send)
        finally:
            log.info(
                "websocket.closed",
                route=_route(scope),
                code=code,
                duration_ms=_since(began),
                messages_sent=messages,
                **_account(scope),
            )


def bind_order(order_id: UUID | str) -> None:
    """Give every further line of the request, its access line included, the order's id."""
    structlog.contextvars.bind_contextvars(order_id=str(order_id))


def bind_order_of_path(scope: Scope) -> None:
    """Bind the order's id in the path; any other text there is the client's and is not logged."""
    found = scope.get("path_params", {}).get("id")
    try:
        bind_order(UUID(str(found)))
    except ValueError:
        return


def log_refused(status: int, code: str, request_id: str | None = None) -> None:
    """Log a request that was refused before it reached the application."""
    identity = {} if request_id is None else {"request_id": request_id}
    log.info("http.refused", route=UNKNOWN_ROUTE, status=status, code=code, **identity)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return UNKNOWN_ROUTE if route is None else getattr(route, "path_format", UNKNOWN_ROUTE)


def _account(scope: Scope) -> dict[str, Any]:
    caller = scope.get("caller")
    return {} if caller is None else {"account": caller.account}


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
