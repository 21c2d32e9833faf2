"""Percentiles of times."""

from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram

from benchmarks.report import Figure

_LONGEST_US = 3_600_000_000
_DIGITS = 3
_US_PER_S = 1_000_000
_US_PER_MS = 1_000
_MEDIAN = 50


def percentile_figures(
    name: str,
    times_s: Iterable[float],
    wanted: Sequence[float] = (_MEDIAN, 95, 99),
    median_at_most: float | None = None,
) -> list[Figure]:
    """Return percentiles of times in milliseconds; what happened before it was waited for counts as 0."""
    histogram = HdrHistogram(1, _LONGEST_US, _DIGITS)
    for seconds in times_s:
        histogram.record_value(max(0, round(seconds * _US_PER_S)))
    return [
        Figure(
            f"{name}, {'median' if percent == _MEDIAN else f'p{percent:g}'}",
            histogram.get_value_at_percentile(percent) / _US_PER_MS,
            "ms",
            at_most=median_at_most if percent == _MEDIAN else None,
        )
        for percent in wanted
    ]
