"""The commands: `python -m chaos [--seed …]` runs, `schedule` shows what a run would do, `drill` measures recovery."""

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from chaos.drills import DRILLS, Drill, Finding, practise, table
from chaos.kinds import KINDS, Topology, chosen
from chaos.report import lines
from chaos.run import Options, run
from chaos.schedule import Injection, draw
from devstack.faults import StackError

_TABLE_WIDTH = 150

app = typer.Typer(help=__doc__, add_completion=False)

Seed = Annotated[int | None, typer.Option(min=0, help="What everything is drawn from; without: a random one.")]
Duration = Annotated[float, typer.Option(min=5, help="Seconds of load and faults.")]
Kinds = Annotated[str, typer.Option(help="Names of faults, separated by commas; * and ? as in file names.")]
Workers = Annotated[int, typer.Option(min=1, max=8)]
Apis = Annotated[int, typer.Option(min=1, max=8)]
Rate = Annotated[float, typer.Option(min=0.1, max=200, help="Orders a second.")]


@app.callback(invoke_without_command=True)
def chaos(
    context: typer.Context,
    seed: Seed = None,
    duration: Duration = 900,
    kinds: Kinds = "*",
    workers: Workers = 1,
    apis: Apis = 1,
    rate: Rate = 25,
    show: Annotated[bool, typer.Option("--show", help="Only show the schedule that the seed gives.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directory of a clean run too.")] = False,
) -> None:
    """Run the stack under load and faults, and judge what became of every order."""
    if context.invoked_subcommand is not None:
        return
    chosen_seed = secrets.randbelow(1_000_000) if seed is None else seed
    options = Options(chosen_seed, duration, rate, Topology(workers, apis))
    schedule = _draw(options, kinds)
    again = f"--seed {chosen_seed} --duration {duration:g} --kinds '{kinds}' --workers {workers} --apis {apis}"
    _say(f'seed {chosen_seed}; the same again: make chaos ARGS="{again} --rate {rate:g}"')
    for injection in schedule:
        _say(str(injection))
    if show:
        return
    with _directory(keep=keep) as (root, release):
        outcome = uvloop.run(run(options, schedule, root, _say))
        for line in lines(outcome):
            _say(line)
        release(outcome.clean)
    raise typer.Exit(0 if outcome.clean else 1)


@app.command("kinds")
def show_kinds() -> None:
    """List every kind of fault."""
    for kind in KINDS:
        _say(kind.name)


@app.command("drill")
def drill(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(DRILLS)}; without: all.")] = None,
) -> None:
    """Strike once with 500 orders in flight, and measure how long each of them paused."""
    unknown = [name for name in names or [] if name not in DRILLS]
    if unknown:
        raise typer.BadParameter(f"there is no drill {unknown[0]}; there are {', '.join(DRILLS)}")
    findings = [_practise(DRILLS[name]) for name in names or DRILLS]
    Console(width=_TABLE_WIDTH).print(table(findings))
    raise typer.Exit(0 if all(finding.clean for finding in findings) else 1)


def _practise(drill: Drill) -> Finding:
    with _directory(keep=False) as (root, release):
        finding = uvloop.run(practise(drill, root, _say))
        for line in [*lines(finding.outcome), *finding.faults]:
            _say(line)
        release(finding.clean)
    return finding


def _draw(options: Options, kinds: str) -> list[Injection]:
    try:
        names = chosen([name.strip() for name in kinds.split(",")])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return draw(options.seed, options.duration_s, options.topology, names)


@contextmanager
def _directory(*, keep: bool) -> Iterator[tuple[Path, "_Release"]]:
    """Lend a directory that is removed after a clean run, and named after any other."""
    root = Path(tempfile.mkdtemp(prefix="order-engine-chaos-"))
    release = _Release()
    try:
        yield root, release
    finally:
        if release.clean and not keep:
            shutil.rmtree(root, ignore_errors=True)
        else:
            _say(f"logs and data are kept in {root}")


class _Release:
    clean = False

    def __call__(self, clean: bool) -> None:
        self.clean = clean


def main() -> None:
    """Run a command; what can be foreseen to go wrong is said in one sentence."""
    try:
        app()
    except StackError as error:
        sys.exit(f"chaos: {error}")


def _say(line: str) -> None:
    typer.echo(line)
