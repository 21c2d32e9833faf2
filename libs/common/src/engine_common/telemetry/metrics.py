"""Metrics for OTLP and Prometheus, or for nobody at no cost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry import metrics

from engine_common.telemetry import otlp

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from prometheus_client import CollectorRegistry


# Bounds of batch sizes: OpenTelemetry's own begin at 5, so that a batch of one could not be told from one of five.
BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class _Collecting:
    """What collects the metrics of this process; nothing until configure() finds somebody who wants them."""

    provider: MeterProvider | None = None
    registry: CollectorRegistry | None = None


_collecting = _Collecting()


def configure(service: str, prometheus: bool) -> None:
    """Collect metrics if an OTLP endpoint is configured or Prometheus is to be served; call it once."""
    readers: list[MetricReader] = []
    if (otlp_reader := otlp.metric_reader()) is not None:
        readers.append(otlp_reader)
    if prometheus:
        readers.append(_prometheus_reader())
    if not readers:
        return
    from opentelemetry.sdk.metrics import MeterProvider

    # Samples of measurements with their trace are a tenth of what a measurement costs, and Prometheus never sees them.
    os.environ.setdefault("OTEL_METRICS_EXEMPLAR_FILTER", "always_off")
    _collecting.provider = MeterProvider(readers, resource=otlp.resource(service), shutdown_on_exit=False)
    metrics.set_meter_provider(_collecting.provider)


def _prometheus_reader() -> MetricReader:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry, ProcessCollector

    _collecting.registry = CollectorRegistry()
    ProcessCollector(registry=_collecting.registry)
    return PrometheusMetricReader(scope_info_enabled=False, registry=_collecting.registry)


def enabled() -> bool:
    """Tell whether metrics are collected."""
    return _collecting.provider is not None


def meter() -> Meter:
    """Return the engine's meter; its instruments, even those made before configure(), do nothing unless enabled()."""
    return metrics.get_meter("engine")


def exposition() -> tuple[bytes, str]:
    """Return the metrics in Prometheus's text format, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    return generate_latest(_collecting.registry or CollectorRegistry()), CONTENT_TYPE_LATEST


def shutdown() -> None:
    """Collect nothing more and send what is collected, within a few seconds."""
    otlp.finish(release())


def release() -> list[Callable[[], object]]:
    """Collect nothing more; return what is still to be called to send what is collected."""
    provider, _collecting.provider = _collecting.provider, None
    return [] if provider is None else [provider.shutdown]
