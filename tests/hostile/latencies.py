"""Percentiles of measured times."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """How a number of times are distributed, in ms."""

    count: int
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"n={self.count} p50={self.p50:.1f} ms p99={self.p99:.1f} ms max={self.longest:.1f} ms"


def summary(seconds: Sequence[float]) -> Summary:
    """Summarise times given in seconds."""
    times = sorted(1000 * second for second in seconds) or [0.0]

    def at(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))]

    return Summary(len(seconds), at(0.5), at(0.99), times[-1])
