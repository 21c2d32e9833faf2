import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from devstack.otlp_sink import Span
from devstack.waterfall import bar, render, rows


def make_span(span_id: str, parent_id: str = "", start_ms: int = 0, took_ms: int = 10, service: str = "api") -> Span:
    start_ns = 1_700_000_000_000_000_000 + start_ms * 1_000_000
    return Span("t", span_id, parent_id, f"span {span_id}", service, start_ns, start_ns + took_ms * 1_000_000, False)


def test_a_span_stands_below_its_parent_in_order_of_start() -> None:
    """Whatever the order of arrival."""
    spans = [
        make_span("c", "a", start_ms=5),
        make_span("d", "b", start_ms=3),
        make_span("b", "a", start_ms=2),
        make_span("a", took_ms=20),
    ]
    assert [(row.span.span_id, row.depth, row.offset_ms) for row in rows(spans)] == [
        ("a", 0, 0),
        ("b", 1, 2),
        ("d", 2, 3),
        ("c", 1, 5),
    ]


def test_a_span_whose_parent_did_not_arrive_is_shown_as_a_root() -> None:
    """A client may be the parent of the whole trace and send no spans."""
    assert [(row.span.span_id, row.depth) for row in rows([make_span("b", "elsewhere"), make_span("c", "b")])] == [
        ("b", 0),
        ("c", 1),
    ]


def test_no_spans_make_an_empty_waterfall() -> None:
    """A trace that did not arrive is no error of the picture."""
    assert rows([]) == []


def test_a_bar_begins_at_its_offset_and_is_as_long_as_its_duration() -> None:
    """Half of the whole is half of the width, in eighths of a character."""
    assert bar(0, 100, 100, 10) == "█" * 10
    assert bar(50, 50, 100, 10) == "     █████"
    assert bar(50, 12.5, 100, 10) == "     █▎"


@given(offset=st.floats(0, 1e6), duration=st.floats(0, 1e6), whole=st.floats(0, 1e6), width=st.integers(10, 200))
def test_a_bar_is_always_visible_and_never_wider_than_its_column(
    offset: float, duration: float, whole: float, width: int
) -> None:
    """Whatever clocks of several processes say."""
    drawn = bar(offset, duration, whole, width)
    assert drawn.strip()
    assert len(drawn) <= width


def test_the_picture_names_every_span_and_fits_the_terminal() -> None:
    """Nothing wraps."""
    output = io.StringIO()
    spans = [make_span("a", took_ms=100, service="engine-api"), make_span("b", "a", 10, 50, "engine-worker")]
    Console(file=output, width=100).print(render(spans, 100))
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 100 for line in lines)
    assert lines[1].startswith("span a")
    assert lines[2].startswith("  span b")
