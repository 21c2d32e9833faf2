"""Spans where an endpoint is configured."""

import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import SpanKind, TraceContext

REMOTE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


def test_a_span_is_a_child_of_the_given_parent(recorded: InMemorySpanExporter) -> None:
    """Another process's context goes on here, and what is inside belongs to it."""
    with tracing.span("execute", parent=REMOTE, kind=SpanKind.CONSUMER, attributes={"order_id": "1"}):
        inside = tracing.current()
        with tracing.span("route"):
            pass
    route, execute = recorded.get_finished_spans()
    assert inside is not None
    assert inside.trace_id == REMOTE.trace_id
    assert inside.sampled
    assert execute.context is not None
    assert inside.span_id == f"{execute.context.span_id:016x}"
    assert execute.parent is not None
    assert f"{execute.parent.span_id:016x}" == REMOTE.span_id
    assert execute.kind is SpanKind.CONSUMER
    assert execute.attributes == {"order_id": "1"}
    assert route.parent is not None
    assert f"{route.parent.span_id:016x}" == inside.span_id


def test_a_span_links_to_the_contexts_given(recorded: InMemorySpanExporter) -> None:
    """A group commit names every order in it."""
    others = [TraceContext.new(), TraceContext.new()]
    with tracing.span("commit", links=others):
        pass
    (commit,) = recorded.get_finished_spans()
    assert [f"{link.context.trace_id:032x}" for link in commit.links] == [other.trace_id for other in others]


def test_an_exception_marks_the_span_as_failed(recorded: InMemorySpanExporter) -> None:
    """It is named and passed on; its traceback, which costs more than six spans, is left to the log."""
    with pytest.raises(LookupError), tracing.span("swap"):
        raise LookupError("no liquidity")
    (swap,) = recorded.get_finished_spans()
    assert swap.status.status_code is StatusCode.ERROR
    assert swap.status.description == "LookupError: no liquidity"
    assert not swap.events


def test_an_attribute_is_set_on_the_current_span(recorded: InMemorySpanExporter) -> None:
    """Wherever the code that knows its value stands."""
    with tracing.span("submitted"):
        tracing.annotate("solana.signature", "5VER")
    (submitted,) = recorded.get_finished_spans()
    assert submitted.attributes == {"solana.signature": "5VER"}


def test_an_answer_is_a_span_that_is_current_nowhere(recorded: InMemorySpanExporter) -> None:
    """It belongs to the request's trace, or to one of its own, whatever is current."""
    with tracing.span("something else"):
        tracing.begin_answer("GET", REMOTE, {}).end()
        tracing.begin_answer("GET", None, {}).end()
    answer, alone, other = recorded.get_finished_spans()
    assert f"{answer.context.trace_id:032x}" == REMOTE.trace_id
    assert alone.parent is None
    assert alone.context.trace_id != other.context.trace_id


def test_use_makes_a_context_the_parent_of_spans(recorded: InMemorySpanExporter) -> None:
    """And it is itself current where there is no span."""
    with tracing.use(REMOTE):
        assert tracing.current() == REMOTE
        with tracing.span("quote"):
            headers: dict[str, str] = {}
            tracing.inject(headers)
    (quote,) = recorded.get_finished_spans()
    assert quote.context is not None
    assert headers["traceparent"] == f"00-{REMOTE.trace_id}-{quote.context.span_id:016x}-01"
    assert tracing.current() is None


def test_an_unsampled_parent_is_followed_but_not_recorded(recorded: InMemorySpanExporter) -> None:
    """The one who started the trace has decided."""
    with tracing.span("execute", parent=REMOTE._replace(sampled=False)):
        context = tracing.current()
    assert context is not None
    assert context.trace_id == REMOTE.trace_id
    assert not context.sampled
    assert recorded.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("sampler", "parent", "spans"),
    [
        ("always_off", REMOTE, 0),
        ("parentbased_always_off", None, 0),
        ("parentbased_always_off", REMOTE, 1),
        ("parentbased_always_on", None, 1),
    ],
)
def test_the_configured_sampler_decides(
    sampler: str,
    parent: TraceContext | None,
    spans: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """OTEL_TRACES_SAMPLER is not bypassed."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    recorded: InMemorySpanExporter = request.getfixturevalue("recorded")
    with tracing.span("execute", parent=parent):
        assert tracing.current() is not None
    assert len(recorded.get_finished_spans()) == spans


def test_after_shutdown_nothing_is_recorded(recorded: InMemorySpanExporter) -> None:
    """The context goes on being kept."""
    tracing.shutdown()
    assert not tracing.enabled()
    with tracing.span("late", parent=REMOTE):
        assert tracing.current() == REMOTE
    assert recorded.get_finished_spans() == ()


@pytest.mark.usefixtures("recorded")
def test_spans_after_the_end_do_not_fail(caplog: pytest.LogCaptureFixture) -> None:
    """A request that outlives the telemetry still gets its answer."""
    with caplog.at_level(logging.ERROR), tracing.span("slow"):
        tracing.shutdown()
    assert caplog.records == []
