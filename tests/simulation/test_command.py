"""`make simulate`: what it prints, and that it fails when a schedule does."""

import os
import subprocess
import sys
from pathlib import Path


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_search_that_finds_nothing_says_how_much_it_searched() -> None:
    """Schedules, their rate and the first seed; with --coverage also what they met. In more than one process."""
    done = simulate("--schedules", "250", "--seed", "7", "--processes", "2", "--coverage")
    assert done.returncode == 0, done.stderr
    assert "250 schedules from seed 7" in done.stdout
    assert "a second" in done.stdout
    assert "0 violate something" in done.stdout
    assert "claim: recovered in submitted" in done.stdout


def test_a_search_that_finds_something_fails_and_prints_seed_and_history() -> None:
    """One is enough."""
    done = simulate("--schedules", "12", "--seed", "1", "--processes", "1", "--mutant", "sign-anew")
    assert done.returncode == 1
    for part in ("violates: SENT BEFORE ITS COMMIT", "shrunk:", "replay: make simulate", "seeds: "):
        assert part in done.stdout


def test_every_point_of_a_schedule_can_be_struck() -> None:
    """And the command says how many that were."""
    done = simulate("--schedules", "1", "--seed", "3", "--every-point", "crash")
    assert done.returncode == 0, done.stdout
    assert "a crash at each of" in done.stdout
