"""Logs, traces, metrics and probes of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_common.telemetry import logs, metrics, otlp, tracing

if TYPE_CHECKING:
    from engine_common.settings import Settings


def start(service: str, settings: Settings) -> None:
    """Configure logs, traces and metrics: once, in the process that does the work, not before a fork.

    Ends the process with a sentence when OTEL_EXPORTER_OTLP_HEADERS_FILE cannot be used.
    """
    otlp.read_headers_file()
    logs.configure(service, settings.log_level, settings.log_format)
    tracing.configure(service)
    metrics.configure(service, prometheus=settings.metrics_port is not None)
    if settings.env == "development" and (defaulted := settings.development_defaults()):
        logs.log.warning("defaults that suit development only", variables=defaulted)


def stop() -> None:
    """Send and write what is still waiting, within a few seconds even if the endpoint is dead."""
    otlp.finish([*tracing.release(), *metrics.release()])
    logs.flush()
