"""The commands: `python -m devstack up | demo | audit | reconcile | clean`."""

import asyncio
import os
import shutil
import sys
from typing import Annotated

import typer

from devstack.faults import StackError, StopRequested, explain
from devstack.layout import Layout
from devstack.settings import StackSettings
from devstack.stack import Stack
from devstack.supervision import on_stop_signals
from engine_common.settings import load_or_exit

app = typer.Typer(help="The whole system on one machine, without Docker.", add_completion=False, no_args_is_help=True)


@app.command()
def up() -> None:
    """Bring the system up and keep it up until Ctrl-C."""
    settings = load_or_exit(StackSettings)
    layout = Layout(settings.stack_dir)
    with layout.held():
        stack = Stack(settings, layout, _say, os.environ)
        on_stop_signals(stack.request_stop, stack.hurry)
        try:
            stack.up()
            _say(f"ready: {stack.api_url}")
            stack.watch()
        except StopRequested:
            pass
        finally:
            stack.down()


@app.command()
def demo() -> None:
    """Show the system by a few orders, with a stack of its own that leaves nothing behind."""
    from devstack import demo as showing

    raise typer.Exit(showing.run())


@app.command()
def audit(
    settled: Annotated[bool, typer.Option("--settled", help="Fail also while any order is unfinished.")] = False,
) -> None:
    """Compare the orders with the chain's ledger."""
    from devstack import audit as auditing

    verdict = asyncio.run(auditing.audit(*auditing.addresses(load_or_exit(StackSettings))))
    for line in auditing.report(verdict):
        _say(line)
    if not verdict.clean or (settled and verdict.unfinished):
        raise typer.Exit(1)


@app.command()
def reconcile(
    apply: Annotated[bool, typer.Option("--apply", help="Do it, instead of only saying what would be done.")] = False,
) -> None:
    """End the unfinished orders of a restored database by what the chain's ledger says of them."""
    from devstack import reconciliation
    from devstack.audit import addresses

    found = asyncio.run(reconciliation.reconcile(*addresses(load_or_exit(StackSettings)), apply=apply))
    for line in reconciliation.report(found, applied=apply):
        _say(line)


@app.command()
def clean() -> None:
    """Remove the stack's directory with all its data."""
    layout = Layout(load_or_exit(StackSettings).stack_dir)
    if not layout.root.exists():
        _say(f"{layout.root} does not exist: nothing to remove")
        return
    with layout.held():
        shutil.rmtree(layout.root)
    _say(f"removed {layout.root}")


def main() -> None:
    """Run a command; what can be foreseen to go wrong is said in one sentence."""
    try:
        app()
    except StackError as error:
        sys.exit(f"devstack: {error}")
    except OSError as error:
        sys.exit(f"devstack: {explain(error)}")


def _say(line: str) -> None:
    # The reader of this output may have gone; the stack goes on.
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
