"""How long orders paused, how long clients were not served, and what percentiles say of it."""

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from chaos.conductor import Befallen
from load.evidence import EventRow

_AFTER_S = 0.7
# What may cost a worker its lease, at once or when it has drained or missed its heartbeats.
_HARMS_WORKER = re.compile(r"(kill|terminate|stall|outlast-lease)-worker|postgres-.*|net-.*-worker-postgres|worker")
_HARMS_FOR_S = 10.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the values do not exceed; not a number where there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def summary(values: Sequence[float]) -> str:
    """Return count and percentiles of times in seconds."""
    points = ", ".join(f"p{percent} {percentile(values, percent):.2f}" for percent in (50, 90, 99))
    return f"{len(values):6} times, {points}, max {max(values, default=float('nan')):.2f} s"


def recoveries(histories: Iterable[Sequence[EventRow]], faults: Sequence[Befallen]) -> Mapping[str, list[float]]:
    """Return for each kind of fault how long orders paused that were taken over: from the fault to `recovered`.

    The cause is the first fault that hurt a worker since the order's event before. A worker that was hurt shortly
    before that event carried the order on for a while: then the pause counts from the event.
    """
    began = sorted(
        (fault.began_at, fault.fault.kind.name) for fault in faults if _HARMS_WORKER.fullmatch(fault.fault.kind.name)
    )
    pauses: defaultdict[str, list[float]] = defaultdict(list)
    for events in histories:
        for before, event in pairwise(events):
            if event.type == "recovered":
                cause, at = _cause(began, before.at, event.at)
                pauses[cause].append(event.at.timestamp() - at)
    return pauses


def _cause(began: Sequence[tuple[float, str]], since: datetime, until: datetime) -> tuple[str, float]:
    # A stopped worker's last move may have been under way when the fault began.
    first = bisect_left(began, (since.timestamp() - 0.5, ""))
    last = bisect_left(began, (until.timestamp(), ""))
    if first < last:
        at, name = began[first]
        return name, at
    if first and until.timestamp() - began[first - 1][0] < _HARMS_FOR_S:
        return began[first - 1][1], since.timestamp()
    return "(no fault)", since.timestamp()


def unserved(served_at: Sequence[float], faults: Sequence[Befallen]) -> Mapping[str, list[float]]:
    """Return by kind of fault how long no new order was accepted: the longest gap during each and just after.

    Only of faults that came alone: of several at once nobody can say which it was.
    """
    ordered = sorted(served_at)
    gaps: defaultdict[str, list[float]] = defaultdict(list)
    for fault in faults:
        if any(_overlap(fault, other) for other in faults if other is not fault):
            continue
        # Counted from the fault on; a gap that it leaves behind is followed to its end.
        last = bisect_left(ordered, fault.ended_at + _AFTER_S) + 1
        window = [fault.began_at, *ordered[bisect_left(ordered, fault.began_at) : last]]
        gaps[fault.fault.kind.name].append(max((after - before for before, after in pairwise(window)), default=0.0))
    return gaps


def _overlap(one: Befallen, other: Befallen) -> bool:
    return one.began_at <= other.ended_at + _AFTER_S and other.began_at <= one.ended_at + _AFTER_S
