"""The trace context of a request or WebSocket: taken from its headers, or made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from engine_common.telemetry.context import Bound, TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.trace import TracerProvider
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    SpanDetails = Callable[[Scope], tuple[str, dict[str, Any]]]

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
    details = cast("SpanDetails", middleware.kwargs["default_span_details"])
    middleware.kwargs["default_span_details"] = _without_path(details)
    app.add_middleware(ExceptionRecorder)
    _wrap(app, lambda inner: ClientHider(middleware.cls(ClientRestorer(inner), *middleware.args, **middleware.kwargs)))


def _without_path(details: SpanDetails) -> SpanDetails:
    """Have spans name the route and not the address: a client may put anything there, a key for example."""

    def shown(scope: Scope) -> tuple[str, dict[str, Any]]:
        name, attributes = details(scope)
        return name, {**attributes, "url.path": attributes.get("http.route", "unknown")}

    return shown


def _wrap(app: Starlette, outermost: Callable[[ASGIApp], ASGIApp]) -> None:
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: outermost(build())


_HIDDEN = "engine_common.hidden"


class ClientHider:
    """Hides from the span recorder what identifies a client or may hold a secret: address, user agent and query.

    A query may also hold bytes at which the recorder would fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if "query_string" in scope:
            visible = {
                "query_string": b"",
                "client": None,
                "headers": [header for header in scope["headers"] if header[0] != b"user-agent"],
            }
            scope = {**scope, **visible, _HIDDEN: {name: scope[name] for name in visible if name in scope}}
        await self.app(scope, receive, send)


class ClientRestorer:
    """Gives the application what ClientHider hid from the span recorder."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        scope.update(scope.pop(_HIDDEN, {}))
        await self.app(scope, receive, send)


class TraceContextMiddleware:
    """Makes the context of an incoming `traceparent`, or a new one, current; records nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        with Bound(incoming(scope["headers"]) or TraceContext.new()):
            await self.app(scope, receive, send)


def incoming(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """Return the context of a request's `traceparent`; None when it has none, or an invalid one."""
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
