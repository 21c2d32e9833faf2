"""What leaves a process: to an OTLP endpoint that is there, that is dead, or that nobody named."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine_common.telemetry import otlp

RunPython = Callable[..., Any]

# Spans of several trees and a count, then a stop; it prints how long each took to stderr.
WORK = """
import sys, time
from engine_common import telemetry
from engine_common.settings import Settings
from engine_common.telemetry import metrics, tracing

telemetry.start("worker", Settings.load())
print("enabled" if tracing.enabled() else "off", "enabled" if metrics.enabled() else "off", file=sys.stderr)
count = metrics.meter().create_counter("engine.orders")
start = time.perf_counter()
for _ in range(5000):
    with tracing.span("execute"):
        count.add(1)
print(time.perf_counter() - start, file=sys.stderr)
start = time.perf_counter()
telemetry.stop()
print(time.perf_counter() - start, file=sys.stderr)
"""
THREADS = """
import sys, threading
from engine_common import telemetry
from engine_common.settings import Settings
from engine_common.telemetry import metrics, tracing

telemetry.start("worker", Settings.load())
print(sorted(thread.name for thread in threading.enumerate()), tracing.enabled(), metrics.enabled())
telemetry.stop()
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refusing_endpoint() -> str:
    """Refuse connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x:4318/v1/metrics"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "TRUE"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "false"}, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_EXPORTER": "none"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_METRICS_EXPORTER": "none"}, True, False),
    ],
)
def test_an_endpoint_turns_export_on_and_the_standard_switches_turn_it_off(
    variables: dict[str, str], traces: bool, metrics: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_* variables mean what they mean everywhere."""
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (otlp.wanted("traces"), otlp.wanted("metrics")) == (traces, metrics)


def test_without_an_endpoint_nothing_is_started_and_nothing_said(run_python: RunPython) -> None:
    """No thread, no line, no import of what records and sends."""
    assert run_python(THREADS).stdout.splitlines() == ["['MainThread'] False False", "[]"]


def test_spans_and_metrics_arrive_before_the_process_ends(run_python: RunPython, otlp_endpoint: Any) -> None:
    """Also the last ones, by http/protobuf, and quickly."""
    finished = run_python(WORK, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_endpoint.url, OTEL_BSP_MAX_QUEUE_SIZE="10000")
    assert {span.name for span in otlp_endpoint.spans} == {"execute"}
    assert len(otlp_endpoint.spans) == 5000
    assert otlp_endpoint.metrics
    assert otlp_endpoint.resource["service.name"] == "worker"
    assert finished.stdout == ""


def test_the_environment_names_the_service(run_python: RunPython, otlp_endpoint: Any) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    run_python(
        WORK,
        OTEL_EXPORTER_OTLP_ENDPOINT=otlp_endpoint.url,
        OTEL_METRICS_EXPORTER="none",
        OTEL_SERVICE_NAME="worker-blue",
        OTEL_RESOURCE_ATTRIBUTES="service.version=9.9,deployment.environment.name=test",
    )
    assert otlp_endpoint.resource["service.name"] == "worker-blue"
    assert otlp_endpoint.resource["service.version"] == "9.9"
    assert otlp_endpoint.resource["deployment.environment.name"] == "test"
    assert not otlp_endpoint.metrics


@pytest.mark.parametrize("endpoint", ["silent_endpoint", "refusing_endpoint"])
def test_a_dead_endpoint_costs_a_few_lines_and_seconds(
    endpoint: str, run_python: RunPython, request: pytest.FixtureRequest
) -> None:
    """The process neither fails nor waits for it, and its log stays readable."""
    finished = run_python(WORK, OTEL_EXPORTER_OTLP_ENDPOINT=request.getfixturevalue(endpoint))
    enabled, working, stopping = finished.stderr.splitlines()
    assert enabled == "enabled enabled"
    assert float(working) < 5
    assert float(stopping) < otlp.FLUSH_SECONDS + 1
    assert 1 <= len(finished.lines) <= 5


def test_a_wrong_setting_is_told_and_turns_the_export_off(run_python: RunPython) -> None:
    """Telemetry never keeps a service from starting."""
    finished = run_python(
        WORK,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_BSP_SCHEDULE_DELAY="-1",
        OTEL_METRIC_EXPORT_INTERVAL="0",
    )
    assert finished.stderr.splitlines()[0] == "off off"
    assert [line["event"].split(",")[0] for line in finished.lines] == [
        "traces are not exported",
        "metrics are not exported",
    ]


def test_another_protocol_is_told(run_python: RunPython, otlp_endpoint: Any) -> None:
    """Grpc threads do not go with processes that fork; it is sent as http/protobuf."""
    finished = run_python(
        WORK,
        OTEL_EXPORTER_OTLP_ENDPOINT=otlp_endpoint.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_METRICS_EXPORTER="none",
    )
    assert [line["event"] for line in finished.lines if "grpc" in line["event"]] == [
        "OTLP over grpc is not supported: traces are sent as http/protobuf"
    ]
    assert otlp_endpoint.spans


def test_finish_leaves_behind_what_hangs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    monkeypatch.setattr(otlp, "FLUSH_SECONDS", 0.05)
    start = time.monotonic()
    answer, done = threading.Event(), list[int]()
    otlp.finish([lambda: answer.wait(30), lambda: done.append(1)])
    assert time.monotonic() - start < 10
    assert done == [1]
    answer.set()
    assert "did not take the last spans or metrics" in caplog.text
