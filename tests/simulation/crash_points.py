"""Lets a worker crash, or stall, at every point of a schedule: before, while and after each of its calls."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from simulation.plan import Blow, Plan, Point
from simulation.schedules import TRUE_ENGINE, run
from simulation.worker import LEASE_S, Make
from simulation.world import Outcome

_PHASES = ("before", "sent", "after")
# Another worker comes soon, or not until its orders could have been taken over.
_ABSENT_S = {"crash": 1.0, "stall": LEASE_S + 1.5}


@dataclass
class Covered:
    """How many points were struck, at which kinds of calls, and the plans that failed."""

    points: int = 0
    calls: set[str] = field(default_factory=set)
    failures: list[tuple[Plan, Outcome]] = field(default_factory=list)


def strike_everywhere(plan: Plan, kind: Literal["crash", "stall"], make: Make = TRUE_ENGINE) -> Covered:
    """Run the plan once for each point of each worker, with a blow there."""
    covered = Covered()
    undisturbed = run(plan, make).counts[f"blow: {kind}"]
    for worker, point in _points(plan, make):
        blow = Blow(kind, worker, point, _ABSENT_S[kind])
        struck = replace(plan, faults=(*plan.faults, blow))
        outcome = run(struck, make)
        if outcome.counts[f"blow: {kind}"] > undisturbed:
            covered.points += 1
            covered.calls.add(point.call)
        if outcome.violations:
            covered.failures.append((struck, outcome))
    return covered


def _points(plan: Plan, make: Make) -> Iterator[tuple[int, Point]]:
    for (who, call), times in run(plan, make).calls.items():
        if not who.startswith("worker"):
            continue
        for nth in range(1, times + 1):
            for phase in _PHASES:
                yield int(who.rsplit(" ", 1)[1]), Point(call, nth, phase)
