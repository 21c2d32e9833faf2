"""Engines with a planted bug: the search finds each within a fixed number of schedules, or it has no teeth."""

import pytest

from simulation.drawing import draw_plan
from simulation.mutants import MUTANTS, OTHERS, THE_FOUR
from simulation.schedules import run

_FIRST_SEED = 1
_SCHEDULES = 1_500


def test_the_four_bugs_that_the_rules_were_written_against_are_planted() -> None:
    """They stay, whatever else is planted."""
    assert set(THE_FOUR) == {
        "send-before-commit",
        "retry-without-asking",
        "null-from-a-node-behind",
        "write-without-epoch",
    }
    assert not set(THE_FOUR) & set(OTHERS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """As what it is: a swap doubled, an order stuck, and so on; the same seeds show nothing of the true engine."""
    mutant = MUTANTS[name]
    for seed in range(_FIRST_SEED, _FIRST_SEED + _SCHEDULES):
        kinds = {violation.kind for violation in run(draw_plan(seed), mutant.make).violations}
        if kinds & set(mutant.shows_as):
            assert run(draw_plan(seed)).violations == []
            return
    pytest.fail(f"not found in {_SCHEDULES} schedules: {mutant.bug}")
