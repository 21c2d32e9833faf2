"""Requests and WebSockets have a context, and where spans are recorded exactly one span each."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Scope
from starlette.websockets import WebSocket

from engine_common.telemetry import tracing
from engine_common.telemetry.asgi import PROBES
from engine_common.telemetry.tracing import TraceContext

INCOMING = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


def context_here(status_code: int = 200) -> PlainTextResponse:
    context = tracing.current()
    return PlainTextResponse(context.traceparent if context else "none", status_code)


async def tell(_request: Request) -> PlainTextResponse:
    return context_here()


async def fail(_request: Request) -> PlainTextResponse:
    raise RuntimeError("unforeseen")


async def tell_of_error(_request: Request, _error: Exception) -> PlainTextResponse:
    return context_here(500)


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.scope["query_string"])


async def stream(_request: Request) -> StreamingResponse:
    async def parts() -> Any:
        for _ in range(5):
            yield context_here().body

    return StreamingResponse(parts())


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    for _ in range(5):
        await socket.receive_text()
        await socket.send_text(bytes(context_here().body).decode())
    await socket.close()


def instrumented_app() -> Starlette:
    app = Starlette(
        routes=[
            Route("/orders/{id}", tell),
            Route("/fail", fail),
            Route("/echo", echo),
            Route("/stream", stream),
            WebSocketRoute("/talk", talk),
            *(Route(path, tell) for path in sorted(PROBES)),
        ],
        exception_handlers={Exception: tell_of_error},
    )
    tracing.instrument_asgi(app)
    return app


async def call(app: Starlette, scope: Scope, incoming: Iterable[Message]) -> list[Message]:
    """Serve one connection as a server would."""
    messages, sent = iter(incoming), list[Message]()

    async def receive() -> Message:
        return next(messages, {"type": f"{scope['type']}.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    with nullcontext() if scope["path"] != "/fail" else pytest.raises(RuntimeError, match="unforeseen"):
        await app(scope, receive, send)
    return sent


def scope_of(kind: str, path: str, context: TraceContext | None) -> Scope:
    headers = [(b"host", b"api:3000"), *([(b"traceparent", context.traceparent.encode())] if context else [])]
    return {
        "type": kind,
        **({"method": "GET", "scheme": "http"} if kind == "http" else {"scheme": "ws"}),
        "path": path,
        "root_path": "",
        "query_string": b"a=b",
        "http_version": "1.1",
        "server": ("127.0.0.1", 3000),
        "client": ("127.0.0.1", 50000),
        "headers": headers,
    }


async def get(app: Starlette, path: str, context: TraceContext | None = None) -> str:
    sent = await call(app, scope_of("http", path, context), [{"type": "http.request", "body": b""}])
    return b"".join(message.get("body", b"") for message in sent).decode()


async def exchange(app: Starlette, context: TraceContext | None = None) -> list[str]:
    frames = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": "?"} for _ in range(5))]
    sent = await call(app, scope_of("websocket", "/talk", context), frames)
    return [message["text"] for message in sent if message["type"] == "websocket.send"]


class TestNothingIsRecorded:
    """Without an endpoint every connection still has a context."""

    async def test_an_incoming_context_is_taken_as_it_is(self) -> None:
        """The client finds its own trace id again."""
        assert await get(instrumented_app(), "/orders/1", INCOMING) == INCOMING.traceparent

    async def test_without_one_each_request_gets_its_own(self) -> None:
        """Two requests are two traces."""
        app = instrumented_app()
        contexts = [TraceContext.parse(await get(app, "/orders/1")) for _ in range(2)]
        assert contexts[0] is not None
        assert contexts[1] is not None
        assert contexts[0].trace_id != contexts[1].trace_id

    async def test_a_websocket_keeps_one_context(self) -> None:
        """From the first frame to the last."""
        assert await exchange(instrumented_app(), INCOMING) == [INCOMING.traceparent] * 5

    async def test_the_answer_to_an_unforeseen_error_has_the_context(self) -> None:
        """A problem response can carry the trace id."""
        assert await get(instrumented_app(), "/fail", INCOMING) == INCOMING.traceparent

    @pytest.mark.parametrize("path", sorted(PROBES))
    async def test_probes_have_none(self, path: str) -> None:
        """They belong to no trace."""
        assert await get(instrumented_app(), path) == "none"

    async def test_the_context_ends_with_the_request(self) -> None:
        """Nothing leaks into what the task does next."""
        await get(instrumented_app(), "/orders/1")
        assert tracing.current() is None


class TestSpansAreRecorded:
    """With an endpoint every connection but a probe's has exactly one span."""

    async def test_a_request_is_one_span_named_by_its_route(self, recorded: InMemorySpanExporter) -> None:
        """No spans for single sends and receives."""
        here = TraceContext.parse(await get(instrumented_app(), "/orders/1", INCOMING))
        (span,) = recorded.get_finished_spans()
        assert span.name == "GET /orders/{id}"
        assert span.kind is SpanKind.SERVER
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == INCOMING.span_id
        assert span.context is not None
        assert here == TraceContext(INCOMING.trace_id, f"{span.context.span_id:016x}", sampled=True)
        assert span.attributes is not None
        assert span.attributes["http.response.status_code"] == 200

    @pytest.mark.parametrize("query", [b"key=secret", b"key=secret&x=\xff"])
    @pytest.mark.parametrize("path", ["/echo", "/orders/secret", "/nothing/secret"])
    async def test_a_span_holds_neither_query_nor_address(
        self, recorded: InMemorySpanExporter, path: str, query: bytes
    ) -> None:
        """A client may put a secret there, or what is not even text; the route itself gets the query as it is."""
        scope = scope_of("http", path, INCOMING) | {"query_string": query, "client": ("198.51.100.7", 50000)}
        scope["headers"].append((b"user-agent", b"secret-agent"))
        sent = await call(instrumented_app(), scope, [{"type": "http.request", "body": b""}])
        (span,) = recorded.get_finished_spans()
        assert "secret" not in span.to_json()
        assert not {"client.address", "client.port", "network.peer.address", "user_agent.original"} & set(
            span.attributes or {}
        )
        assert "198.51.100.7" not in span.to_json()
        assert "secret-agent" not in span.to_json()
        if path == "/echo":
            assert sent[1]["body"] == query

    async def test_a_streamed_answer_is_one_span(self, recorded: InMemorySpanExporter) -> None:
        """However many parts it has."""
        await get(instrumented_app(), "/stream")
        assert len(recorded.get_finished_spans()) == 1

    async def test_a_websocket_is_one_span(self, recorded: InMemorySpanExporter) -> None:
        """However many frames it has."""
        texts = await exchange(instrumented_app(), INCOMING)
        (span,) = recorded.get_finished_spans()
        assert span.name == "/talk"
        assert span.context is not None
        assert texts == [f"00-{INCOMING.trace_id}-{span.context.span_id:016x}-01"] * 5

    async def test_an_unforeseen_error_is_on_the_span_and_its_answer_in_the_trace(
        self, recorded: InMemorySpanExporter
    ) -> None:
        """Status 500, the exception, and the context for the problem response."""
        answer = await get(instrumented_app(), "/fail", INCOMING)
        (span,) = recorded.get_finished_spans()
        assert INCOMING.trace_id in answer
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]
        assert span.attributes is not None
        assert span.attributes["http.response.status_code"] == 500

    @pytest.mark.parametrize("path", sorted(PROBES))
    async def test_probes_are_no_spans(self, path: str, recorded: InMemorySpanExporter) -> None:
        """The kubelet would fill the trace store."""
        await get(instrumented_app(), path)
        assert recorded.get_finished_spans() == ()

    async def test_an_unsampled_request_is_not_recorded_but_keeps_its_trace(
        self, recorded: InMemorySpanExporter
    ) -> None:
        """The caller's decision counts."""
        here = TraceContext.parse(await get(instrumented_app(), "/orders/1", INCOMING._replace(sampled=False)))
        assert here is not None
        assert (here.trace_id, here.sampled) == (INCOMING.trace_id, False)
        assert recorded.get_finished_spans() == ()

    async def test_further_urls_can_be_excluded(
        self, monkeypatch: pytest.MonkeyPatch, recorded: InMemorySpanExporter
    ) -> None:
        """OTEL_PYTHON_STARLETTE_EXCLUDED_URLS keeps its meaning."""
        monkeypatch.setenv("OTEL_PYTHON_STARLETTE_EXCLUDED_URLS", "orders/.*,other")
        app = instrumented_app()
        await get(app, "/orders/1")
        await get(app, "/livez")
        await get(app, "/stream")
        assert [span.name for span in recorded.get_finished_spans()] == ["GET /stream"]
