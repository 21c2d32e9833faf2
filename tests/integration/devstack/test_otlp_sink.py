import asyncio

import aiohttp
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from devstack.otlp_sink import OtlpSink

RESOURCE = Resource({"service.name": "shop"})


async def test_spans_of_an_sdk_arrive_with_their_service_and_parent() -> None:
    """The sink understands what the services' exporters send, compressed too."""
    sink = OtlpSink()
    async with sink.serving():
        provider = TracerProvider(resource=RESOURCE)
        exporter = OTLPSpanExporter(f"{sink.url}/v1/traces", compression=Compression.Gzip)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")

        def record() -> str:
            with tracer.start_as_current_span("outer") as outer:
                with tracer.start_as_current_span("inner") as inner:
                    inner.set_status(StatusCode.ERROR)
                    inner.set_attributes({"colour": "red", "again": True, "number": 7})
                return f"{outer.get_span_context().trace_id:032x}"

        trace_id = await asyncio.to_thread(record)
        await asyncio.to_thread(provider.shutdown)
    inner, outer = sink.trace(trace_id)
    assert (outer.name, outer.service, outer.parent_id, outer.failed) == ("outer", "shop", "", False)
    assert (inner.name, inner.parent_id, inner.failed) == ("inner", outer.span_id, True)
    assert inner.attributes == {"colour": "red", "again": True}
    assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
    assert sink.trace("0" * 32) == []


async def test_metrics_of_an_sdk_arrive_by_name() -> None:
    """An exporter that sends metrics too gets an answer that it understands."""
    sink = OtlpSink()
    async with sink.serving():
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{sink.url}/v1/metrics"))
        provider = MeterProvider([reader], resource=RESOURCE)
        provider.get_meter("test").create_counter("orders").add(1)
        await asyncio.to_thread(provider.shutdown)
    assert "orders" in sink.metrics


async def test_what_is_no_export_is_refused() -> None:
    """Garbage is answered with 400 and kept out."""
    sink = OtlpSink()
    async with sink.serving(), aiohttp.ClientSession() as session:
        for path in ("traces", "metrics"):
            async with session.post(f"{sink.url}/v1/{path}", data=b"\xffgarbage") as response:
                assert response.status == 400
    assert sink.spans == []
