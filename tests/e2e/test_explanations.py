"""What happened to an order, and why it took its time: from the API alone, the logs alone and the trace alone."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from devstack.otlp_sink import OtlpSink
from support.running_stack import RunningStack, eventually, running_stack
from support.traces import otlp_receiver, trace_of

PAUSE_S = 1.5
"""Before the second attempt, but for the engine's jitter of a quarter: nearly all of the order's time."""
LEAST_PAUSE_S = 0.7 * PAUSE_S


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, OtlpSink, dict[str, Any]]]:
    """Run a system in which an order fails twice, with a pause between."""
    with (
        otlp_receiver() as sink,
        running_stack(
            tmp_path_factory.mktemp("stack"),
            MOCK_DEX_FAILURE_RATE="1",
            ENGINE_MAX_ATTEMPTS="2",
            ENGINE_RETRY_BASE_MS=f"{PAUSE_S * 1000:g}",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
        ) as stack,
    ):
        order = stack.finished(stack.place()["orderId"])
        assert (order["status"], order["attempt"]) == ("failed", 2)
        yield stack, sink, order


def test_the_api_alone_says_why_an_order_took_its_time(
    failed: tuple[RunningStack, OtlpSink, dict[str, Any]],
) -> None:
    """The first attempt's error, and when the next one was due."""
    stack, _, order = failed
    events = stack.events(order["orderId"])
    (retrying,) = (event for event in events if event["type"] == "retrying")
    due = datetime.fromisoformat(retrying["data"]["nextAttemptAt"])
    assert (due - datetime.fromisoformat(retrying["timestamp"])).total_seconds() >= LEAST_PAUSE_S
    assert retrying["data"]["errorCode"] == "swap_failed"
    assert events[-1]["data"]["errorReason"] == order["errorReason"]


def test_the_logs_alone_say_why_an_order_took_its_time(
    failed: tuple[RunningStack, OtlpSink, dict[str, Any]],
) -> None:
    """The lines that hold the order's id: accepted, failed once with a pause, failed for good."""
    stack, _, order = failed

    def lines() -> dict[str, dict[str, Any]] | None:
        found = [json.loads(line) for log in ("api", "worker-1") for line in stack.log(log).splitlines() if "{" in line]
        of_order = {line["event"]: line for line in found if line.get("order_id") == order["orderId"]}
        return of_order if "order.failed" in of_order else None

    told = eventually(lines, within_s=20)
    assert "http.request" in told
    retrying, end = told["order.retrying"], told["order.failed"]
    assert (retrying["error_code"], retrying["source"], retrying["attempt"]) == ("swap_failed", "submitted", 1)
    assert (end["error_code"], end["error_reason"], end["attempt"]) == ("swap_failed", order["errorReason"], 2)
    assert retrying["delay_s"] == end["retry_backoff_s"] >= LEAST_PAUSE_S
    assert end["total_s"] >= end["state_s"]["routing"] >= LEAST_PAUSE_S  # the pause is a part of `routing`
    assert {line["trace_id"] for line in (retrying, end)} == {order["traceId"]}


def test_the_trace_alone_says_why_an_order_took_its_time(
    failed: tuple[RunningStack, OtlpSink, dict[str, Any]],
) -> None:
    """The pause is a span, and the order's own span has the error."""
    _, sink, order = failed
    spans = trace_of(sink, order)
    (root,) = (span for span in spans if span.name == "execute order")
    (pause,) = (span for span in spans if span.name == "retry backoff")
    assert root.failed
    assert root.attributes["order.error_code"] == "swap_failed"
    assert root.attributes["order.id"] == order["orderId"]
    assert pause.parent_id == root.span_id
    assert (pause.end_ns - pause.start_ns) / 1e9 >= LEAST_PAUSE_S
