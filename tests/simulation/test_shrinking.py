"""A failing schedule becomes a history that can be read: few faults, one order, round times, the same violation."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulation.drawing import draw_plan
from simulation.mutants import MUTANTS
from simulation.plan import Fate, Plan, PlannedOrder, Price
from simulation.schedules import run
from simulation.search import report, shrink_failure
from simulation.shrinking import shrink

_MUTANT = "retry-without-asking"


def failing_plan(least_faults: int) -> Plan:
    """Return a drawn plan with so many faults in which the mutant fails."""
    drawn = (draw_plan(seed) for seed in range(1, 500))
    make = MUTANTS[_MUTANT].make
    return next(plan for plan in drawn if len(plan.faults) >= least_faults and run(plan, make).violations)


def test_a_failing_plan_shrinks_to_what_it_takes() -> None:
    """Whatever does not matter is gone; without any one of what is left it would not fail."""
    plan = failing_plan(least_faults=8)
    make = MUTANTS[_MUTANT].make
    small = shrink_failure(plan, _MUTANT)
    kind = run(plan, make).violations[0].kind
    assert len(small.orders) == 1
    assert len(small.faults) <= 2
    assert small.workers == 2
    assert kind in {violation.kind for violation in run(small, make).violations}
    for place in range(len(small.faults)):
        fewer = replace(small, faults=small.faults[:place] + small.faults[place + 1 :])
        assert kind not in {violation.kind for violation in run(fewer, make).violations}


def test_shrinking_keeps_what_matters_and_nothing_else() -> None:
    """Faults of an order that is left out go with it, those of later orders are renumbered."""
    noise = tuple(Price("price", second + 0.123, 1_001) for second in range(6))
    faults = (*noise[:3], Fate("fate", 1, 1, "never", after_s=1.234), *noise[3:], Fate("fate", 0, 1, "lands"))
    plan = Plan(seed=1, orders=(PlannedOrder(0.05), PlannedOrder(0.517)), faults=faults, workers=3)

    def an_attempt_expires(candidate: Plan) -> bool:
        return run(candidate).counts["attempt: transaction_expired"] > 0

    small = shrink(plan, an_attempt_expires)
    assert small == Plan(seed=1, orders=(PlannedOrder(0.05),), faults=(Fate("fate", 0, 1, "never"),))


def test_a_plan_that_does_not_fail_is_not_shrunk() -> None:
    """Shrinking it would end in an empty plan and hide a mistake of the caller."""
    with pytest.raises(ValueError, match="does not fail"):
        shrink(Plan(seed=1, orders=(PlannedOrder(0.05),)), lambda _: False)


def test_a_report_tells_what_happened_and_how_to_see_it_again() -> None:
    """Time, who, what; the violation; a command that is told nothing but what it prints."""
    small = shrink_failure(failing_plan(least_faults=3), _MUTANT)
    told = report(small, _MUTANT)
    for part in ("worker 0  starts", "claims it in queued", "commits building -> submitted", "sends attempt 1"):
        assert part in told
    assert "violation: " in told
    command = told.splitlines()[-1].removeprefix("replay: make simulate ARGS='").removesuffix("'")
    replayed = subprocess.run(
        [sys.executable, "-m", "simulation", *shlex.split(command)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (replayed.returncode, replayed.stdout) == (1, told + "\n")
