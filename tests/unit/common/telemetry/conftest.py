"""Processes of their own for what telemetry does to a whole process, and an OTLP endpoint for what they send."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine_common.telemetry import tracing


@dataclass
class Finished:
    """What a process left behind."""

    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log, each line of which has to be one JSON object."""
        return [json.loads(line) for line in self.stdout.splitlines()]


RunPython = Callable[..., Finished]


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Run code in a process with no OTEL_* variables but the given ones; it has to succeed."""

    def run(code: str, **variables: str) -> Finished:
        neutral = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**neutral, "NO_PROXY": "127.0.0.1", **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Finished(done.stdout, done.stderr)

    return run


@dataclass
class OtlpEndpoint:
    """Keeps what it is sent."""

    url: str
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """All spans it was sent."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        """The attributes of the process that sent the first spans."""
        attributes = self.traces[0].resource_spans[0].resource.attributes
        return {attribute.key: attribute.value.string_value for attribute in attributes}


@pytest.fixture
def otlp_endpoint() -> Iterator[OtlpEndpoint]:
    """Listen for OTLP over http/protobuf."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                endpoint.traces.append(ExportTraceServiceRequest.FromString(body))
            else:
                endpoint.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = OtlpEndpoint(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield endpoint
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    """Record the spans of this test."""
    exporter = InMemorySpanExporter()
    tracing.configure("test", exporter=exporter)
    yield exporter
    tracing.shutdown()
