"""Schemathesis against the running api: every check and every phase for a given time."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from hostile.victim import Victim

# JSON Schema cannot say that tokenOut must differ from tokenIn, so some valid-looking orders are refused.
_UNSAYABLE = "positive_data_acceptance"


@dataclass(frozen=True)
class SchemaRun:
    """What schemathesis printed, and what is wrong."""

    output: str
    faults: list[str]


def run_schemathesis(
    victim: Victim,
    *,
    seconds: float | None,
    seed: int,
    headers: Mapping[str, str],
    phases: str = "examples,coverage,fuzzing,stateful",
    max_examples: int = 100,
) -> SchemaRun:
    """Run it until the time is over, or without a time once through, with so many examples an operation."""
    pid = victim.pid()
    victim.new_lines()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{victim.url}/openapi.json"),
        *("--checks=all", f"--exclude-checks={_UNSAYABLE}", f"--phases={phases}", f"--max-examples={max_examples}"),
        *(f"--seed={seed}", "--suppress-health-check=all", "--continue-on-failure", "--generation-database=none"),
        *("--no-color", "--warnings=off"),
        *(f"--header={name}: {value}" for name, value in headers.items()),
    ]
    if seconds is not None:
        command.append(f"--max-time={round(seconds)}")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    faults = [f"log: {line}" for line in victim.new_lines().bad]
    if run.returncode != 0:
        faults.append(f"schemathesis ended with {run.returncode}")
    if victim.pid() != pid:
        faults.append("the api died and was started again")
    return SchemaRun(run.stdout + run.stderr, faults)
