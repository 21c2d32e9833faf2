"""The command: `make simulate ARGS="--schedules 100000 --seed 1"`."""

import os
import time
from typing import Annotated, Literal

import typer

from simulation.crash_points import strike_everywhere
from simulation.drawing import draw_plan
from simulation.mutants import MUTANTS
from simulation.plan import from_json
from simulation.schedules import run
from simulation.search import Found, engine, report, search_in_parallel, shrink_failure

_SHOWN = 3
_EVERY_S = 10.0

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    schedules: Annotated[
        int, typer.Option(min=1, help="How many schedules: those of the seed and the next ones.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="The first schedule's seed.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="In how many processes.")] = os.cpu_count() or 1,
    mutant: Annotated[str | None, typer.Option(help=f"Plant a bug: {', '.join(MUTANTS)}.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Print how many schedules met what.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Print the history of the seed's schedule.")] = False,
    every_point: Annotated[
        Literal["crash", "stall"] | None, typer.Option(help="Strike each schedule's workers at each of their points.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Replay this plan, as a failure printed it.")] = None,
) -> None:
    """Search schedules of the engine's core in simulated time for violations; exit 1 when there is one."""
    if plan is not None or history:
        chosen = draw_plan(seed) if plan is None else from_json(plan)
        typer.echo(report(chosen, mutant))
        raise typer.Exit(bool(run(chosen, engine(mutant)).violations))
    seeds = range(seed, seed + schedules)
    if every_point is not None:
        raise typer.Exit(_strike(seeds, every_point, mutant))
    raise typer.Exit(_search(seeds, mutant, processes, coverage=coverage))


def _search(seeds: range, mutant: str | None, processes: int, *, coverage: bool) -> int:
    found, began = Found(), time.monotonic()
    said = began
    for part in search_in_parallel(seeds, mutant, processes):
        found.add(part)
        if time.monotonic() - said > _EVERY_S:
            said = time.monotonic()
            typer.echo(f"{found.schedules} schedules, {len(found.violations)} violate something", err=True)
    took_s = time.monotonic() - began
    if coverage:
        for what, times in sorted(found.met.items()):
            typer.echo(f"{times / found.schedules:8.2%}  {what}")
    for failed in sorted(found.violations)[:_SHOWN]:
        typer.echo(f"\nseed {failed} violates: {found.violations[failed][0]}\nshrunk:")
        typer.echo(report(shrink_failure(draw_plan(failed), mutant), mutant))
    typer.echo(
        f"{found.schedules} schedules from seed {seeds.start}, {found.schedules / took_s:.0f} a second "
        f"({found.simulated_s / 3600:.1f} simulated hours): {len(found.violations)} violate something"
    )
    if found.violations:
        typer.echo(f"seeds: {' '.join(map(str, sorted(found.violations)[:100]))}")
    return bool(found.violations)


def _strike(seeds: range, kind: Literal["crash", "stall"], mutant: str | None) -> int:
    points, failures = 0, 0
    for seed in seeds:
        covered = strike_everywhere(draw_plan(seed), kind, engine(mutant))
        points += covered.points
        failures += len(covered.failures)
        for plan, outcome in covered.failures[:1]:
            typer.echo(f"\nseed {seed} with a {kind} violates: {outcome.violations[0]}\nshrunk:")
            typer.echo(report(shrink_failure(plan, mutant), mutant))
    typer.echo(f"{len(seeds)} schedules, a {kind} at each of {points} points: {failures} violate something")
    return bool(failures)


if __name__ == "__main__":
    app(prog_name="make simulate")
