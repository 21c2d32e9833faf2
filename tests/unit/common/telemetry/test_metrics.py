"""Metrics for Prometheus, or for nobody."""

from collections.abc import Callable
from typing import Any

RunPython = Callable[..., Any]

COUNT = """
from engine_common import telemetry
from engine_common.settings import Settings
from engine_common.telemetry import metrics

early = metrics.meter().create_counter("engine.early", description="made before start")
telemetry.start("worker", Settings.load())
late = metrics.meter().create_histogram("engine.wait", unit="s")
early.add(2, {"venue": "meteora"})
late.record(0.25)
print(metrics.enabled())
print(metrics.exposition()[0].decode())
telemetry.stop()
"""


def test_prometheus_is_served_where_a_port_is_set(run_python: RunPython) -> None:
    """Also instruments made before the start count, and the process itself is measured."""
    lines = run_python(COUNT, METRICS_PORT="9464").stdout.splitlines()
    assert lines[0] == "True"
    assert 'engine_early_total{venue="meteora"} 2.0' in lines
    assert "engine_wait_seconds_count 1.0" in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert any('service_name="worker"' in line for line in lines if line.startswith("target_info{"))


def test_without_a_port_and_an_endpoint_nothing_is_collected(run_python: RunPython) -> None:
    """The instruments take everything and do nothing."""
    assert run_python(COUNT).stdout.split() == ["False"]
