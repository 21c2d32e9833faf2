"""The commands: `python -m hostile fuzz | crowd | schemathesis`."""

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from hostile.crowding import Crowd, crowd_in
from hostile.fuzzing import fuzz
from hostile.schema_run import run_schemathesis
from hostile.victim import attacked

app = typer.Typer(
    help="Attack a running stack, one of its own unless told otherwise.", add_completion=False, no_args_is_help=True
)
console = Console(highlight=False, soft_wrap=True, markup=False)

_LARGEST_SEED = 10_000
_SHOWN = 40
_ALIKE = 100
_NUMBERS = re.compile(r"[0-9]+")
_MEMORY_LIMIT_MB = 400.0

StackDir = Annotated[Path | None, typer.Option(help="The directory of a running stack; without: one of its own.")]
Seed = Annotated[int | None, typer.Option(help="Reproduces a run; without: a random one, printed.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="Sent with every request, as `name: value`.")]


@app.command("fuzz")
def run_fuzzer(
    requests: Annotated[int, typer.Option(min=1, help="How many connections are opened.")] = 10_000,
    seed: Seed = None,
    stack_dir: StackDir = None,
    header: Headers = None,
    per_s: Annotated[float, typer.Option(min=1, help="How many a second, at most.")] = 200,
    only: Annotated[int | None, typer.Option(min=0, help="Only the case of this number.")] = None,
) -> None:
    """Malformed HTTP and WebSockets, from one seed, while a normal client is served."""
    chosen = _chosen(seed)
    with attacked(stack_dir) as victim:
        findings = asyncio.run(
            fuzz(victim, seed=chosen, requests=requests, headers=_headers(header), per_s=per_s, only=only)
        )
    _conclude(findings.report(), [*findings.faults, *findings.slow])


@app.command("crowd")
def run_crowd(
    idle: Annotated[int, typer.Option(min=0, help="Sockets that hear next to nothing.")] = Crowd.idle,
    mute: Annotated[int, typer.Option(min=0, help="Sockets whose clients never read.")] = Crowd.mute,
    readers: Annotated[int, typer.Option(min=1, help="Ordinary readers.")] = Crowd.readers,
    orders_per_s: Annotated[float, typer.Option(min=1)] = Crowd.orders_per_s,
    seconds: Annotated[float, typer.Option(min=1, help="How long orders run, at least.")] = Crowd.seconds,
    stack_dir: StackDir = None,
    header: Headers = None,
) -> None:
    """Thousands of idle sockets, and hundreds that never read, beside ordinary readers."""
    crowd = Crowd(idle=idle, mute=mute, readers=readers, orders_per_s=orders_per_s, seconds=seconds)
    with attacked(stack_dir) as victim:
        outcome = uvloop.run(crowd_in(victim, crowd, _headers(header), memory_limit_mb=_MEMORY_LIMIT_MB))
    _conclude(outcome.report(), outcome.faults)


@app.command("schemathesis")
def run_schema(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10,
    seed: Seed = None,
    stack_dir: StackDir = None,
    header: Headers = None,
) -> None:
    """Every check and phase of schemathesis, stateful testing included, over the served OpenAPI document."""
    chosen = _chosen(seed)
    with attacked(stack_dir) as victim:
        outcome = run_schemathesis(victim, seconds=60 * minutes, seed=chosen, headers=_headers(header))
    _conclude([outcome.output], outcome.faults)


def _chosen(seed: int | None) -> int:
    chosen = secrets.randbelow(_LARGEST_SEED) if seed is None else seed
    console.print(f"seed {chosen}")
    return chosen


def _headers(given: list[str] | None) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (one.partition(":") for one in given or ())}


def _conclude(report: Sequence[str], faults: Sequence[str]) -> None:
    """Print the report and what went wrong, alike faults together, and exit accordingly."""
    for line in report:
        console.print(line)
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for fault in faults:
        alike[_NUMBERS.sub("", fault)[:_ALIKE]].append(fault)
    for same in list(alike.values())[:_SHOWN]:
        console.print(f"VIOLATION {len(same)}x, such as: {same[0]}")
    console.print(f"{len(faults)} violations")
    if faults:
        raise typer.Exit(1)


def main() -> None:
    """Run a command."""
    app()
