"""One trace per order: its context is always made and kept, spans are recorded only where an endpoint is configured."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from engine_common.telemetry import asgi, otlp
from engine_common.telemetry.asgi import incoming
from engine_common.telemetry.context import UNBOUND, Bound, TraceContext, bound

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from contextvars import Token

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.util.types import AttributeValue
    from starlette.applications import Starlette

__all__ = [
    "Span",
    "SpanKind",
    "TraceContext",
    "annotate",
    "begin_answer",
    "configure",
    "current",
    "enabled",
    "incoming",
    "inject",
    "instrument_asgi",
    "release",
    "shutdown",
    "span",
    "use",
]


class _Recording:
    """What records the spans of this process; nothing until configure() finds an endpoint."""

    provider: TracerProvider | None = None
    tracer: trace.Tracer | None = None


_recording = _Recording()


def configure(service: str, *, exporter: SpanExporter | None = None) -> None:
    """Record spans if an OTLP endpoint is configured, or hand each to the given exporter at once (for tests)."""
    provider = otlp.tracer_provider(service, exporter)
    if provider is not None:
        _recording.provider = provider
        _recording.tracer = provider.get_tracer("engine")


def enabled() -> bool:
    """Tell whether spans are recorded."""
    return _recording.tracer is not None


def shutdown() -> None:
    """Record nothing more and send what is recorded, within a few seconds."""
    otlp.finish(release())


def release() -> list[Callable[[], object]]:
    """Record nothing more; return what is still to be called to send what is recorded."""
    provider, _recording.provider, _recording.tracer = _recording.provider, None, None
    return [] if provider is None else [provider.shutdown]


def current() -> TraceContext | None:
    """Return the context of the current span, or the one made current by use()."""
    if _recording.tracer is None:
        return bound.get()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=context.trace_flags.sampled)


def use(context: TraceContext) -> AbstractContextManager[object]:
    """Make a context current without a span."""
    return Bound(context) if _recording.tracer is None else _attached(context)


def span(
    name: str,
    *,
    parent: TraceContext | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[TraceContext] = (),
) -> AbstractContextManager[Span]:
    """Record the block as a span, child of `parent` or else of what is current; an exception marks it as failed.

    Where nothing is recorded it makes `parent` current, if one is given.
    """
    if _recording.tracer is None:
        return UNBOUND if parent is None else Bound(parent)
    context = None if parent is None else _otel_context(parent)
    recorded_links = [Link(_span_context(link)) for link in links]
    return _Current(_recording.tracer.start_span(name, context, kind, attributes, recorded_links))


class _Current(AbstractContextManager[Span]):
    """Makes a span current, and ends it.

    What the SDK has for this costs a quarter of the span once more, and formats the traceback of every exception, which
    costs as much as six: most are outcomes, such as a failed swap. The status names the exception, and the log has the
    traceback of what nobody foresaw.
    """

    __slots__ = ("_span", "_token")
    _token: Token[otel_context.Context]

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        otel_context.detach(self._token)
        if isinstance(error, Exception):  # not the end of a task
            self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self._span.end()


def begin_answer(name: str, parent: TraceContext | None, attributes: Mapping[str, AttributeValue]) -> Span:
    """Record the answer to a request of this context as a span that is current nowhere and that its user ends."""
    if _recording.tracer is None:
        return INVALID_SPAN
    context = otel_context.Context() if parent is None else _otel_context(parent)
    return _recording.tracer.start_span(name, context, SpanKind.SERVER, attributes)


def annotate(name: str, value: AttributeValue) -> None:
    """Set an attribute of the current span."""
    if _recording.tracer is not None:
        trace.get_current_span().set_attribute(name, value)


def inject(headers: dict[str, str]) -> None:
    """Write the current context, if there is one, into the headers of an outgoing request or message."""
    if (context := current()) is not None:
        headers["traceparent"] = context.traceparent


def instrument_asgi(app: Starlette) -> None:
    """Give every request and WebSocket but the probes a context, and a server span where spans are recorded.

    Call it after configure() and after the application's own middleware is added.
    """
    asgi.instrument(app, _recording.provider)


@contextmanager
def _attached(context: TraceContext) -> Generator[None]:
    token = otel_context.attach(_otel_context(context))
    try:
        yield
    finally:
        otel_context.detach(token)


def _otel_context(context: TraceContext) -> otel_context.Context:
    return trace.set_span_in_context(NonRecordingSpan(_span_context(context)))


def _span_context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)
