"""The commands: `python -m kindstack up | deploy | audit | reconcile | down`."""

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from rich.console import Console

from devstack.faults import StackError, explain
from engine_common.settings import load_or_exit
from kindstack import checks
from kindstack.cluster import KindCluster
from kindstack.deploying import deploy_to_current_context
from kindstack.operating import devstack_on_release
from kindstack.progress import Steps
from kindstack.settings import DeploySettings, KindSettings
from kindstack.standing_up import VALUES, StandingUp

app = typer.Typer(help="The order engine on Kubernetes.", add_completion=False, no_args_is_help=True)

_INTERRUPTED = 130
_ORDER = '{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}'


@app.command()
def up() -> None:
    """Make a kind cluster with the whole system on this machine, and prove it by an order; or bring it up to date."""
    settings = load_or_exit(KindSettings)
    began = time.monotonic()
    console = _console()
    with Steps(console) as steps:
        standing_up = StandingUp(settings, steps)
        _complete(standing_up.run())
    for line in _how_to_go_on(settings, standing_up.url, time.monotonic() - began):
        console.print(line, soft_wrap=True)


@app.command()
def deploy() -> None:
    """Deploy the chart to the cluster that kubectl points at."""
    settings = load_or_exit(KindSettings)

    async def work(steps: Steps) -> None:
        await checks.require_tools("kubectl", "helm")
        await deploy_to_current_context(settings, steps, settings.context, VALUES)

    with Steps(_console()) as steps:
        _complete(work(steps))


@app.command()
def audit(settled: Annotated[bool, typer.Option("--settled")] = False) -> None:
    """Compare the orders of the release with the ledger, in the cluster that kubectl points at."""
    _on_release("audit", *(["--settled"] if settled else []))


@app.command()
def reconcile(apply: Annotated[bool, typer.Option("--apply")] = False) -> None:
    """End the unfinished orders of the release's restored database by the ledger."""
    _on_release("reconcile", *(["--apply"] if apply else []))


@app.command()
def down() -> None:
    """Remove the kind cluster with everything in it."""
    cluster = KindCluster(load_or_exit(KindSettings))

    async def work(steps: Steps) -> None:
        await checks.require_tools("docker", "kind")
        await checks.require_docker()
        if not await cluster.exists():
            steps.say(f"there is no kind cluster {cluster.name}: nothing to remove")
            return
        with steps.step(f"removing the cluster {cluster.name}") as step:
            await cluster.delete()
            step.tell(f"cluster {cluster.name} removed, with its data and the context {cluster.context}")

    with Steps(_console()) as steps:
        _complete(work(steps))


def _on_release(*arguments: str) -> None:
    settings = load_or_exit(DeploySettings)
    try:
        raise typer.Exit(asyncio.run(devstack_on_release(settings, arguments)))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def main() -> None:
    """Run a command; what can be foreseen to go wrong is said in one sentence."""
    try:
        app()
    except StackError as error:
        sys.exit(f"{error}")
    except OSError as error:
        sys.exit(f"{explain(error)}")


def _complete(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        print("Interrupted: what was begun is stopped; the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _how_to_go_on(settings: KindSettings, url: str, took_s: float) -> list[str]:
    kubectl = f"kubectl --context {settings.context} -n {settings.namespace}"
    helm = f"helm --kube-context {settings.context} -n {settings.namespace}"
    headers = "-H 'content-type: application/json' -H 'Idempotency-Key: my-first-order'"
    return [
        "",
        f"ready: {url} (after {took_s:.0f} s)",
        "",
        f"  orders        {url}/api/orders",
        f"  the contract  {url}/openapi.json",
        f"  traces        {url}/jaeger/",
        "",
        f"  an order      curl -s {url}/api/orders/execute {headers} -d '{_ORDER}'",
        f"  its states    .venv/bin/python -m websockets ws://localhost:{settings.kind_http_port}/ws/orders/ORDER_ID",
        f"  what runs     {kubectl} get pods",
        f"  more workers  {kubectl} scale deployment {settings.release}-worker --replicas 3",
        f"  a test        {helm} test {settings.release} --logs",
        "  new code      make kind-up",
        "  the end       make kind-down",
    ]
