"""The trace context of a request or WebSocket: taken from its headers, or made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from engine_common.telemetry.context import Bound, TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
_PROBE_URLS = rf"^\w+://[^/]*({'|'.join(sorted(PROBES))})$"


def instrument(app: Starlette, provider: TracerProvider | None) -> None:
    """Wrap the whole application, so that even the answer to an unforeseen error belongs to the trace."""
    if provider is None:
        _wrap(app, TraceContextMiddleware)
        return
    # Imported only where spans are recorded: a start without them need not pay for it.
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor
    from opentelemetry.util.http import parse_excluded_urls

    StarletteInstrumentor.instrument_app(app, tracer_provider=provider)
    # The instrumentor puts its middleware first, but inside the error handling, and cannot be told to leave out the
    # probes and the spans of single sends and receives; the middleware itself can.
    middleware = app.user_middleware.pop(0)
    unwanted = os.environ.get("OTEL_PYTHON_STARLETTE_EXCLUDED_URLS") or os.environ.get("OTEL_PYTHON_EXCLUDED_URLS")
    middleware.kwargs["excluded_urls"] = parse_excluded_urls(",".join(filter(None, (_PROBE_URLS, unwanted))))
    middleware.kwargs["exclude_spans"] = ["receive", "send"]
    app.add_middleware(ExceptionRecorder)
    _wrap(app, lambda inner: middleware.cls(inner, *middleware.args, **middleware.kwargs))


def _wrap(app: Starlette, outermost: Callable[[ASGIApp], ASGIApp]) -> None:
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: outermost(build())


class TraceContextMiddleware:
    """Makes the context of an incoming `traceparent`, or a new one, current; records nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        with Bound(_incoming(scope["headers"]) or TraceContext.new()):
            await self.app(scope, receive, send)


def _incoming(headers: list[tuple[bytes, bytes]]) -> TraceContext | None:
    for name, value in headers:
        if name == b"traceparent":
            return TraceContext.parse(value.decode("latin-1"))
    return None


class ExceptionRecorder:
    """Records an unforeseen exception on the request's span while it is open: the answer to the error ends it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            span = trace.get_current_span()
            if scope["type"] == "http" and span.is_recording():  # a WebSocket's span is open when the error reaches it
                span.record_exception(error)
                span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
