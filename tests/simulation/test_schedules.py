"""The true engine in schedules drawn from seeds: nothing is lost, doubled or stuck, and the search reaches far."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.drawing import draw_plan
from simulation.plan import BrokenCall, Fate, Plan, PlannedOrder, from_json, to_json
from simulation.schedules import run
from simulation.search import report, search, shrink_failure

# Seeds in as many parts as processes can share; `make simulate` searches as many more as there is time for.
_PARTS, _SCHEDULES = 4, 600

# What a search must have met that is worth its time, in any of its schedules.
_MET = (
    *(
        f"blow: {blow} of the owner in {state}"
        for blow in ("crash", "stall", "stop")
        for state in ("routing", "building")
    ),
    *(f"blow: {blow} of the owner in submitted" for blow in ("crash", "stall", "stop")),
    "fault: refused (send)",
    *(f"claim: recovered in {state}" for state in ("queued", "routing", "building", "submitted")),
    *(f"fault: {how} (move)" for how in ("rejected", "reply lost", "lingers", "slow", "late reply")),
    *(f"fault: outage of the {service}" for service in ("store", "heart", "chain", "venues")),
    *(f"message: {how}" for how in ("lost", "twice", "again", "late", "to the dead")),
    *(f"attempt: {code}" for code in ("transaction_expired", "slippage_exceeded", "swap_failed", "swap_rejected")),
    *(f"end: {end}" for end in ("confirmed", "failed", "cancelled", "3 attempts")),
    *(f"move fenced: {why}" for why in ("by the epoch alone", "by epoch and version", "it is finished")),
    "claim: of what the claimer owns, and had lost by its heartbeat",
    "claim: from a worker that still lives",
    "cancel: won",
    "cancel: lost or unanswered",
    "fate: lands at its last valid height",
    "fault: reply lost (claim)",
    "fault: reply lost (send)",
    "search: null from a node behind, of what has landed",
    "send: already processed",
    "send: dropped",
    "send: expired",
    "status: forgotten without history",
    "status: not confirmed",
    "status: on a fork that vanishes",
)


@pytest.mark.parametrize("part", range(_PARTS))
def test_no_schedule_violates_anything(part: int) -> None:
    """Of these seeds; what fails is shrunk, and printed with the command that replays it."""
    first = 1 + part * _SCHEDULES
    found = search(range(first, first + _SCHEDULES))
    for seed in sorted(found.violations):
        pytest.fail(f"seed {seed}:\n{report(shrink_failure(draw_plan(seed)))}")
    assert found.schedules == _SCHEDULES
    if part == 0:
        missed = [what for what in _MET if not found.met[what]]
        assert missed == [], "the search has not met these; it searches less than it says"


def test_a_calm_plan_is_an_order_that_is_confirmed_at_once() -> None:
    """What no fault names goes well: so every deviation in a history is somebody's fault."""
    outcome = run(Plan(seed=1, orders=(PlannedOrder(0.05),)), tell=True)
    assert outcome.violations == []
    assert outcome.counts["end: confirmed"] == outcome.counts["end: 1 attempts"] == 1
    commits = [told.what for told in outcome.history if "commits" in told.what]
    assert [what.split(" commits ")[1].split(" (")[0] for what in commits] == [
        "queued -> routing",
        "routing -> building",
        "building -> submitted",
        "submitted -> confirmed",
    ]


def test_a_seed_determines_the_whole_schedule() -> None:
    """Also in another process, whose hashes are others: the history is the same to the last line."""
    seeds = (15, 151, 459)
    script = "import sys; from simulation.search import report; from simulation.drawing import draw_plan\n"
    script += "print('\\n'.join(report(draw_plan(int(seed))) for seed in sys.argv[1:]))"
    elsewhere = subprocess.run(
        [sys.executable, "-c", script, *map(str, seeds)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout == "\n".join(report(draw_plan(seed)) for seed in seeds) + "\n"


def test_a_plan_survives_being_written_down() -> None:
    """Every kind of fault: the plan that a failure prints is the plan that failed."""
    plans = [draw_plan(seed) for seed in range(300)]
    assert len({fault.kind for plan in plans for fault in plan.faults}) == 13
    assert [from_json(to_json(plan)) for plan in plans] == plans


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (Fate("fate", 0, 1, "never"), "end: 2 attempts"),
        (Fate("fate", 0, 1, "lands", 6000), "end: 2 attempts"),
        (Fate("fate", 0, 1, "lands", 1), "end: failed"),
        (Fate("fate", 0, 1, "last block"), "end: confirmed"),
        (BrokenCall("broken call", "worker 0", "send", 1, "refused"), "end: confirmed"),
    ],
)
def test_a_fault_has_the_effect_that_it_names(fault: Fate | BrokenCall, end: str) -> None:
    """And the engine answers as its rules say."""
    outcome = run(Plan(seed=1, orders=(PlannedOrder(0.05),), faults=(fault,)))
    assert outcome.violations == []
    assert outcome.counts[end] == 1
