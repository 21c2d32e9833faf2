"""The worker's log lines and spans about an order tell what happened to it, and where its time went."""

from collections import Counter
from typing import Any

import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from engine_common.errors import Unreachable
from engine_common.telemetry import tracing
from engine_worker.execution import run_in_trace
from support.simulation import FakeVenue, World, quote
from support.virtual_time import in_virtual_time

TRANSIENT = {"InstructionError": [0, {"Custom": 6000}]}


async def logged(world: World) -> list[Any]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await run_in_trace(world.execution, None)
    return [line for line in lines if line["event"].startswith("order.")]


@in_virtual_time
async def test_a_confirmed_order_leaves_a_line_with_its_id_and_the_time_in_each_state() -> None:
    """So that "why did it take 3 s?" is answered by one line."""
    world = World()
    (line,) = await logged(world)
    assert line["event"] == "order.confirmed"
    assert line["order_id"] == str(world.execution.order.id)
    assert set(line["state_s"]) == {"queued", "routing", "building", "submitted"}
    assert line["attempt"] == 1
    assert "total_s" in line


@in_virtual_time
async def test_each_retry_and_the_failure_leave_a_line_with_their_reason() -> None:
    """The last one says how long the order paused between its attempts."""
    world = World()
    world.lands_with = [TRANSIENT]
    lines = await logged(world)
    assert [line["event"] for line in lines] == ["order.retrying", "order.retrying", "order.failed"]
    assert {line["error_code"] for line in lines} == {"swap_failed"}
    assert [line["attempt"] for line in lines] == [1, 2, 3]
    assert lines[-1]["retry_backoff_s"] == sum(line["delay_s"] for line in lines[:2])
    assert {line["order_id"] for line in lines} == {str(world.execution.order.id)}


@in_virtual_time
async def test_the_line_of_an_order_that_waited_for_its_venues_says_how_long_and_for_what() -> None:
    """No event tells of these pauses."""
    silent = Unreachable("no answer")
    world = World(venues=[FakeVenue("raydium", [silent, silent, quote("raydium", 1)])])
    (line,) = await logged(world)
    assert line["wait_s"] > 0
    assert "no answer" in line["last_wait_reason"]


@in_virtual_time
async def test_a_recovered_order_leaves_a_line_when_its_new_worker_begins() -> None:
    """With the state in which it was found."""
    world = World()
    world.execution.order.lease_epoch = 2
    first, *_ = await logged(world)
    assert (first["event"], first["status"], first["lease_epoch"]) == ("order.recovered", "queued", 2)


@in_virtual_time
async def test_the_trace_of_a_failed_order_has_its_pauses_and_its_error_code() -> None:
    """Its consumer span has error status; each pause between two attempts is a span."""
    exporter = InMemorySpanExporter()
    tracing.configure("test", exporter=exporter)
    try:
        world = World()
        world.lands_with = [TRANSIENT]
        await run_in_trace(world.execution, None)
    finally:
        tracing.shutdown()
    spans = exporter.get_finished_spans()
    assert Counter(span.name for span in spans)["retry backoff"] == 2
    (consumer,) = (span for span in spans if span.name == "execute order")
    assert consumer.status.status_code is StatusCode.ERROR
    assert consumer.attributes is not None
    assert consumer.attributes["error.type"] == consumer.attributes["order.error_code"] == "swap_failed"
    assert "order.queue_s" in consumer.attributes
