"""The commands: `python -m benchmarks throughput | acceptance | settle | idle | burst | storage | all`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import psycopg
import typer
import uvloop
from rich.console import Console
from websockets.exceptions import WebSocketException

from benchmarks import database, tuning
from benchmarks.processes import Processes
from benchmarks.report import RESULTS, Report
from benchmarks.scenarios import acceptance, burst, idle, settle, storage, throughput
from benchmarks.session import Session
from benchmarks.system import System, SystemFault, running, started
from benchmarks.tuning import tuned
from benchmarks.verdict import faults_of_audit

app = typer.Typer(
    help="Measure the whole system under load, on a stack of its own unless told otherwise.",
    add_completion=False,
    no_args_is_help=True,
)
console = Console()

_LONGEST_RUN_S = 900.0
_Measure = Callable[[Session], Awaitable[Report]]

Seconds = Annotated[float, typer.Option(min=1, max=300, help="How long to count.")]
Unfinished = Annotated[int, typer.Option(min=1, max=10_000, help="How many orders may be unfinished at once.")]


@dataclass(frozen=True)
class _Target:
    """What is measured."""

    stack_dir: Path | None
    url: str | None
    connections: int

    def system(self) -> AbstractContextManager[System]:
        """Attach to the running stack that was named, or run one of our own."""
        return started({}) if self.stack_dir is None else nullcontext(running(self.stack_dir, self.url))


@app.callback()
def target(
    context: typer.Context,
    stack_dir: Annotated[Path | None, typer.Option(help="The directory of a running stack to measure.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address of that stack's api.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Connections of the load generator.")] = 64,
) -> None:
    """Say what is measured."""
    if url is not None and stack_dir is None:
        raise typer.BadParameter("--url needs --stack-dir: the stack's processes and its database are measured too")
    context.obj = _Target(stack_dir, url, connections)


@app.command("throughput")
def measure_throughput(context: typer.Context, seconds: Seconds = 20, unfinished: Unfinished = 900) -> None:
    """Orders confirmed per second, and what each costs, with an instant DEX."""
    _run_all(context.obj, [(partial(throughput.measure, seconds=seconds, unfinished=unfinished), tuning.INSTANT)])


@app.command("acceptance")
def measure_acceptance(context: typer.Context, orders: Annotated[int, typer.Option(min=1, max=50_000)] = 6_000) -> None:
    """Orders accepted per second from one client, with an instant DEX."""
    _run_all(context.obj, [(partial(acceptance.measure, orders=orders), tuning.INSTANT)])


@app.command("settle")
def measure_settle(context: typer.Context, orders: Annotated[int, typer.Option(min=1, max=10_000)] = 1_000) -> None:
    """Time until orders sent at once have ended, with default delays, and peak memory."""
    _run_all(context.obj, [(partial(settle.measure, orders=orders), tuning.DEFAULT)])


@app.command("idle")
def measure_idle(context: typer.Context, orders: Annotated[int, typer.Option(min=1, max=1_000)] = 100) -> None:
    """Latencies of one order at a time on an idle system."""
    _run_all(context.obj, [(partial(idle.measure, orders=orders), tuning.INSTANT)])


@app.command("burst")
def measure_burst(context: typer.Context, orders: Annotated[int, typer.Option(min=4, max=50_000)] = 20_000) -> None:
    """Many orders at once, with default delays, and the worker's memory meanwhile."""
    _run_all(context.obj, [(partial(burst.measure, orders=orders), tuning.DEFAULT)])


@app.command("storage")
def measure_storage(context: typer.Context, orders: Annotated[int, typer.Option(min=1, max=50_000)] = 3_000) -> None:
    """Disk, log and commits that PostgreSQL needs for an order, with an instant DEX."""
    _run_all(context.obj, [(partial(storage.measure, orders=orders), tuning.INSTANT)])


@app.command("all")
def measure_all(context: typer.Context) -> None:
    """Every scenario with its defaults, each on a stack of its own."""
    _run_all(
        context.obj,
        [
            (partial(idle.measure, orders=100), tuning.INSTANT),
            (partial(throughput.measure, seconds=20, unfinished=900), tuning.INSTANT),
            (partial(acceptance.measure, orders=6_000), tuning.INSTANT),
            (partial(settle.measure, orders=1_000), tuning.DEFAULT),
            (partial(burst.measure, orders=20_000), tuning.DEFAULT),
            (partial(storage.measure, orders=3_000), tuning.INSTANT),
        ],
    )


def _run_all(target: _Target, scenarios: list[tuple[_Measure, Mapping[str, float]]]) -> None:
    """Run scenarios one after another; exit with 1 when orders were lost or a run is worthless, whatever the goals."""
    worthless = 0
    for measure, values in scenarios:
        try:
            _run(target, measure, values)
        except _RunWorthless:
            worthless += 1
    if worthless:
        raise typer.Exit(1)


class _RunWorthless(Exception):
    """The run lost orders, or what it measured does not count; the report says why."""


def _run(target: _Target, measure: _Measure, values: Mapping[str, float]) -> None:
    with target.system() as system, tuned(system, values):
        report = uvloop.run(_measure(target, system, measure))
        report.faults.extend(faults_of_audit(system))
        report.show(console)
        path = report.save(RESULTS)
        console.print(f"[dim]{path}[/dim]\n", highlight=False)
        if not report.sound:
            raise _RunWorthless


async def _measure(target: _Target, system: System, measure: _Measure) -> Report:
    async with asyncio.timeout(_LONGEST_RUN_S), database.opened(system.database_url) as opened:
        return await measure(Session(system, opened, Processes(system.layout), target.connections))


def main() -> None:
    """Run a command; what can be foreseen to go wrong is said in one sentence."""
    try:
        app()
    except SystemFault as fault:
        sys.exit(f"benchmarks: {fault}")
    except (OSError, psycopg.Error, WebSocketException) as error:
        sys.exit(f"benchmarks: the system went away or does not answer: {str(error).strip() or type(error).__name__}")
