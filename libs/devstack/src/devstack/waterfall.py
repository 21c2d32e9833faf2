"""A trace as a waterfall: every span below its parent, with its offset and a bar for its duration."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from devstack.otlp_sink import Span

_NS_IN_MS = 1_000_000
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue")


@dataclass(frozen=True)
class Row:
    """A span at its place in the tree; offset and duration in milliseconds."""

    span: Span
    depth: int
    offset_ms: float
    duration_ms: float


def rows(spans: Sequence[Span]) -> list[Row]:
    """Order the spans of a trace by tree and start; a span whose parent is missing stands as a root."""
    if not spans:
        return []
    known = {span.span_id for span in spans}
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)):
        children[span.parent_id if span.parent_id in known else ""].append(span)
    begin = min(span.start_ns for span in spans)

    def walk(parent: str, depth: int) -> Iterator[Row]:
        for span in children[parent]:
            offset_ms = (span.start_ns - begin) / _NS_IN_MS
            yield Row(span, depth, offset_ms, (span.end_ns - span.start_ns) / _NS_IN_MS)
            yield from walk(span.span_id, depth + 1)

    return list(walk("", 0))


def bar(offset: float, duration: float, whole: float, width: int) -> str:
    """Draw a duration at its offset within the whole, `width` characters wide; the shortest is still visible."""
    if whole <= 0:
        return "▏"
    start = min(int(min(offset / whole, 1.0) * width), width - 1)
    eighths = max(1, min(round(min(duration / whole, 1.0) * width * 8), (width - start) * 8))
    full, rest = divmod(eighths, 8)
    return " " * start + "█" * full + (_EIGHTHS[rest] if rest else "")


def render(spans: Sequence[Span], width: int) -> Table:
    """Return the waterfall as a table for a terminal of that width."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("span", no_wrap=True, overflow="ellipsis", max_width=max(20, width // 3))
    table.add_column("service", no_wrap=True)
    table.add_column("at ms", justify="right", no_wrap=True)
    table.add_column("took ms", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    found = rows(spans)
    whole = max((row.offset_ms + row.duration_ms for row in found), default=0.0)
    services = sorted({row.span.service for row in found})
    bar_width = max(10, width - max(20, width // 3) - max((len(name) for name in services), default=0) - 24)
    for row in found:
        colour = "red" if row.span.failed else _COLOURS[services.index(row.span.service) % len(_COLOURS)]
        table.add_row(
            "  " * row.depth + row.span.name,
            Text(row.span.service, style=colour),
            f"{row.offset_ms:.1f}",
            f"{row.duration_ms:.1f}",
            Text(bar(row.offset_ms, row.duration_ms, whole, bar_width), style=colour),
        )
    return table
