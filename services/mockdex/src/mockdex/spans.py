"""The server spans of the hot paths, which go past the framework and what instruments it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from opentelemetry.trace import INVALID_SPAN, Span, StatusCode

from engine_common.telemetry import tracing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def begin_answer(headers: Iterable[tuple[bytes, bytes]], method: str, route: str) -> Span:
    """Begin the span of an answer, in the trace of the request with these headers."""
    if not tracing.enabled():
        return INVALID_SPAN
    attributes = {"http.request.method": method, "http.route": route, "url.path": route}
    return tracing.begin_answer(f"{method} {route}", tracing.incoming(headers), attributes)


def end_answer(span: Span, status: int | None) -> None:
    """End the span of an answer with this status; None: the request was not answered."""
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)
    span.end()


class Traced:
    """Serves one route by an application, and records each answer."""

    def __init__(self, app: ASGIApp, route: str) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        status: int | None = None

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        span = begin_answer(scope["headers"], scope["method"], self._route)
        try:
            await self._app(scope, receive, noted)
        finally:
            end_answer(span, status)
