"""The commands: `python -m hostile fuzz | crowd | schemathesis`."""

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hostile.bystander import Bystander
from hostile.fuzzing import Findings, fuzz
from hostile.victim import attacked

app = typer.Typer(
    help="Attack a running stack, one of its own unless told otherwise.", add_completion=False, no_args_is_help=True
)
console = Console(highlight=False, soft_wrap=True, markup=False)

_LARGEST_SEED = 10_000
_MEMORY_MAY_GROW_MB = 15.0
_P99_WITHIN_MS = 250.0
_SHOWN = 40
_ALIKE = 100
_NUMBERS = re.compile(r"[0-9]+")

StackDir = Annotated[Path | None, typer.Option(help="The directory of a running stack; without: one of its own.")]
Seed = Annotated[int | None, typer.Option(help="Reproduces a run; without: a random one, printed.")]
Headers = Annotated[list[str], typer.Option("--header", help="Sent with every request, as `name: value`.")]


@app.callback()
def choose() -> None:
    """Attack a running stack, one of its own unless told otherwise."""


@app.command("fuzz")
def run_fuzzer(
    requests: Annotated[int, typer.Option(min=1, help="How many connections are opened.")] = 10_000,
    seed: Seed = None,
    stack_dir: StackDir = None,
    header: Headers = [],  # noqa: B006 - typer's way to say none
    only: Annotated[int | None, typer.Option(min=0, help="Only the case of this number.")] = None,
) -> None:
    """Malformed HTTP and WebSockets, from one seed, while a normal client is served."""
    chosen = secrets.randbelow(_LARGEST_SEED) if seed is None else seed
    console.print(f"seed {chosen}")
    headers = _headers(header)
    with attacked(stack_dir) as victim:
        bystander = Bystander(victim.url, headers)
        findings = asyncio.run(fuzz(victim, bystander, seed=chosen, requests=requests, headers=headers, only=only))
    _report(findings, bystander)
    faults = list(findings.violations)
    if findings.growth_mb > _MEMORY_MAY_GROW_MB:
        faults.append(f"memory grew by {findings.growth_mb:.1f} MB, more than {_MEMORY_MAY_GROW_MB:g}")
    for name, latency in (("POST", bystander.post_latency), ("GET", bystander.get_latency)):
        if latency.p99 > _P99_WITHIN_MS:
            faults.append(
                f"the p99 of the normal client's {name} is {latency.p99:.0f} ms, more than {_P99_WITHIN_MS:g}"
            )
    conclude(faults)


def _headers(given: list[str]) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (one.partition(":") for one in given)}


def _report(findings: Findings, bystander: Bystander) -> None:
    per_second = findings.performed / findings.seconds
    console.print(f"{findings.performed} connections in {findings.seconds:.1f} s ({per_second:.0f}/s)")
    for name, counts in (("family", findings.families), ("answer", findings.said)):
        console.print(f"by {name}: " + ", ".join(f"{key} {count}" for key, count in counts.most_common()))
    console.print(
        f"api memory: {findings.memory_before_mb:.1f} MB after the warm-up, {findings.memory_after_mb:.1f} MB at the end"
    )
    console.print(
        f"log: {findings.lines.count} lines, {findings.lines.warnings} warnings, {len(findings.lines.bad)} bad"
    )
    console.print(
        f"normal client: {bystander.finished} orders followed to their end, {len(bystander.complaints)} complaints"
    )
    console.print(f"  POST {bystander.post_latency}")
    console.print(f"  GET  {bystander.get_latency}")


def conclude(faults: Sequence[str]) -> None:
    """Print what went wrong, alike faults together, and exit accordingly."""
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
