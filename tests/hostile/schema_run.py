"""Schemathesis against the running api: every check that makes sense, and every phase, for a given time."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hostile.victim import Victim

# Which checks there are, which is all but two: options of the command would hide what it says of single operations.
_CONFIG = Path(__file__).with_name("schemathesis.toml")


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
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={_CONFIG}", "run", f"{victim.url}/openapi.json"),
        *(f"--phases={phases}", f"--max-examples={max_examples}"),
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
