"""What spans and metrics share on their way to an OTLP endpoint (http/protobuf).

OpenTelemetry's SDK is imported by the functions that use it: it takes half a second, which a start without an endpoint
does not pay.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal, TypeVar

from opentelemetry import trace

from engine_common import __version__
from engine_common.secret_files import read_secret_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

T = TypeVar("T")

FLUSH_SECONDS = 3.0
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"

_log = logging.getLogger(__name__)


def wanted(signal: Literal["traces", "metrics"]) -> bool:
    """Tell whether the environment asks for a signal's export: an endpoint is set and nothing turns it off."""
    name = signal.upper()
    if not (_variable("OTEL_EXPORTER_OTLP_ENDPOINT") or _variable(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")):
        return False
    return _variable("OTEL_SDK_DISABLED") != "true" and _variable(f"OTEL_{name}_EXPORTER") != "none"


def tracer_provider(service: str, exporter: SpanExporter | None) -> TracerProvider | None:
    """Start to record spans for the exporter, or else for the OTLP endpoint if there is one."""
    if exporter is not None:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        return _recording(service, SimpleSpanProcessor(exporter))
    provider = _started("traces", lambda: _recording(service, _exporting()))
    if provider is not None:
        trace.set_tracer_provider(provider)  # for libraries that trace by themselves
    return provider


def _exporting() -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())


def _recording(service: str, processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider

    # The stable names of attributes instead of those on their way out; read at the first instrumentation.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def metric_reader() -> MetricReader | None:
    """Start to send metrics to the OTLP endpoint if there is one."""
    return _started("metrics", _exporting_metrics)


def _exporting_metrics() -> MetricReader:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    return PeriodicExportingMetricReader(OTLPMetricExporter())


def resource(service: str) -> Resource:
    """Describe this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    detected = Resource.create()
    stated = {key for key, value in detected.attributes.items() if not str(value).startswith("unknown_service")}
    own = {SERVICE_NAME: service, SERVICE_VERSION: __version__}
    return detected.merge(Resource({key: value for key, value in own.items() if key not in stated}))


def finish(shutdowns: Sequence[Callable[[], object]]) -> None:
    """Run the shutdowns side by side, and leave behind what a dead endpoint holds up."""
    threads = [threading.Thread(target=shutdown, name="telemetry-flush", daemon=True) for shutdown in shutdowns]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + FLUSH_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        _log.warning("the OTLP endpoint did not take the last spans or metrics within %.0f s", FLUSH_SECONDS)


def _started(signal: Literal["traces", "metrics"], start: Callable[[], T]) -> T | None:
    if not wanted(signal):
        return None
    protocol = _variable(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or _variable("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        _log.warning("OTLP over %s is not supported: %s are sent as http/protobuf", protocol, signal)
    try:
        return start()
    except (ValueError, RuntimeError, OSError, ImportError) as error:  # OTEL_* variables that contradict themselves
        _log.error("%s are not exported, because the OTEL_* settings are wrong: %s", signal, error)
        return None


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().lower()


def read_headers_file() -> None:
    """Let the exporters find the headers, a token most often, that OTEL_EXPORTER_OTLP_HEADERS_FILE holds.

    Exits with a sentence when the file cannot be used, or the variable itself is set as well.
    """
    values, problems = read_secret_files([_HEADERS], os.environ)
    if problems:
        sys.exit(problems[0])
    os.environ.update(values)
