"""A small OTLP/HTTP receiver that keeps spans in memory: what the demo shows of a trace, without a tracing backend."""

import socket
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

_PROTOBUF = "application/x-protobuf"
_LARGEST_EXPORT = 32 * 2**20


@dataclass(frozen=True)
class Span:
    """A received span; times in nanoseconds since 1970, ids in hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])
    """those that are texts or truths"""


class OtlpSink:
    """Receives traces and metrics; keeps the spans and the names of the metrics."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: set[str] = set()
        self.url = ""

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of one trace that have arrived so far."""
        return [span for span in self.spans if span.trace_id == trace_id]

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Listen on a free port of 127.0.0.1, under `url`."""
        app = web.Application(client_max_size=_LARGEST_EXPORT)
        app.router.add_post("/v1/traces", self._take_traces)
        app.router.add_post("/v1/metrics", self._take_metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            # Bound here, not by number: nobody can take the port between choosing and listening.
            listener = socket.create_server(("127.0.0.1", 0))
            await web.SockSite(runner, listener).start()
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield
        finally:
            await runner.cleanup()

    async def _take_traces(self, request: web.Request) -> web.Response:
        try:
            export = ExportTraceServiceRequest.FromString(await request.read())
        except DecodeError:
            return web.Response(status=400)
        for resource in export.resource_spans:
            service = _attribute(resource.resource.attributes, "service.name")
            for scope in resource.scope_spans:
                self.spans.extend(
                    Span(
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        name=span.name,
                        service=service,
                        start_ns=span.start_time_unix_nano,
                        end_ns=span.end_time_unix_nano,
                        failed=span.status.code == Status.STATUS_CODE_ERROR,
                        attributes=_attributes(span.attributes),
                    )
                    for span in scope.spans
                )
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type=_PROTOBUF)

    async def _take_metrics(self, request: web.Request) -> web.Response:
        try:
            export = ExportMetricsServiceRequest.FromString(await request.read())
        except DecodeError:
            return web.Response(status=400)
        self.metrics.update(
            metric.name
            for resource in export.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return web.Response(body=ExportMetricsServiceResponse().SerializeToString(), content_type=_PROTOBUF)


def _attributes(attributes: Iterable[KeyValue]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for each in attributes:
        match each.value.WhichOneof("value"):
            case "string_value":
                found[each.key] = each.value.string_value
            case "bool_value":
                found[each.key] = each.value.bool_value
            case _:
                pass
    return found


def _attribute(attributes: Iterable[KeyValue], key: str) -> str:
    return next((each.value.string_value for each in attributes if each.key == key), "unknown")
