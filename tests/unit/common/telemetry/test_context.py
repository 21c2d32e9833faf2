"""The W3C trace context: made, read, written, kept."""

import asyncio
import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import SpanKind, TraceContext

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.integers(min_value=1, max_value=16**digits - 1).map(lambda number: f"{number:0{digits}x}")


@given(st.builds(TraceContext, hexadecimal(32), hexadecimal(16), st.booleans()))
def test_a_written_context_is_read_back(context: TraceContext) -> None:
    """The header carries all of it."""
    assert TraceContext.parse(context.traceparent) == context


def test_new_contexts_are_valid_differ_and_are_not_sampled() -> None:
    """A context that nobody records must not make a service further on record it against its sampler."""
    one, other = TraceContext.new(), TraceContext.new()
    assert TraceContext.parse(one.traceparent) == one
    assert one.trace_id != other.trace_id
    assert not one.sampled


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_only_the_first_flag_means_sampled(flags: str, sampled: bool) -> None:
    """Flags of later versions change nothing."""
    context = TraceContext.parse(f" 00-{TRACE_ID}-{SPAN_ID}-{flags} ")
    assert context == TraceContext(TRACE_ID, SPAN_ID, sampled)


def test_a_later_version_may_carry_more() -> None:
    """What stands after the flags is not ours to judge."""
    assert TraceContext.parse(f"01-{TRACE_ID}-{SPAN_ID}-01-more") == TraceContext(TRACE_ID, SPAN_ID, sampled=True)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID[1:]}-{SPAN_ID}-01",
    ],
)
def test_an_invalid_header_is_no_context(header: str | None) -> None:
    """The caller makes a new one instead."""
    assert TraceContext.parse(header) is None


class TestNothingIsRecorded:
    """Without an endpoint the context is kept all the same."""

    def test_nothing_is_current_at_first(self) -> None:
        """And nothing is recorded."""
        assert tracing.current() is None
        assert not tracing.enabled()

    def test_use_makes_a_context_current_until_its_end(self) -> None:
        """The innermost counts."""
        outer, inner = TraceContext.new(), TraceContext.new()
        with tracing.use(outer):
            with tracing.use(inner):
                assert tracing.current() == inner
            assert tracing.current() == outer
        assert tracing.current() is None

    def test_a_failing_block_gives_the_context_back(self) -> None:
        """An exception passes through."""
        with pytest.raises(KeyError), tracing.use(TraceContext.new()):
            raise KeyError
        assert tracing.current() is None

    def test_a_block_may_end_in_another_task(self) -> None:
        """As a streaming generator does that the event loop closes."""
        block = tracing.use(TraceContext.new())
        contextvars.copy_context().run(block.__enter__)
        block.__exit__(None, None, None)
        assert tracing.current() is None

    def test_a_span_makes_its_parent_current(self) -> None:
        """So that what happens inside still belongs to the order's trace."""
        parent = TraceContext.new()
        with tracing.span("swap", parent=parent, kind=SpanKind.CONSUMER, links=[TraceContext.new()]) as span:
            span.set_attribute("venue", "meteora")
            assert tracing.current() == parent

    def test_a_span_without_a_parent_leaves_the_context_alone(self) -> None:
        """Neither made nor lost."""
        context = TraceContext.new()
        with tracing.use(context), tracing.span("quote", attributes={"venue": "raydium"}) as span:
            assert not span.is_recording()
            assert tracing.current() == context

    async def test_each_task_has_its_own_context(self) -> None:
        """Orders on one event loop do not mix."""

        async def carry(context: TraceContext) -> TraceContext | None:
            with tracing.use(context):
                await asyncio.sleep(0)
                return tracing.current()

        contexts = [TraceContext.new() for _ in range(20)]
        assert await asyncio.gather(*map(carry, contexts)) == contexts

    def test_inject_writes_the_current_context(self) -> None:
        """Outgoing calls and messages carry it on."""
        headers: dict[str, str] = {}
        tracing.inject(headers)
        assert headers == {}
        context = TraceContext.new()
        with tracing.use(context):
            tracing.inject(headers)
        assert headers == {"traceparent": context.traceparent}
