"""Operators' commands on a release in a cluster, through local ports that kubectl chooses."""

import asyncio
import base64
import os
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import quote

from kindstack import checks
from kindstack.documents import text
from kindstack.faults import ForwardFailed, ReleaseMissing
from kindstack.kubectl import Kubectl, current_context
from kindstack.programs import missing
from kindstack.settings import DeploySettings

_FORWARDED_WITHIN_S = 30.0
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")
_SECRET, _PASSWORD_KEY = "order-engine-secrets", "postgres-password"


async def devstack_on_release(settings: DeploySettings, arguments: Sequence[str]) -> int:
    """Run a command of devstack on the database and the ledger of the release, and return its exit code.

    Both are those of the chart, in the cluster of kubectl's context.
    Raises ReleaseMissing, ForwardFailed, ContextUnusable.
    """
    await checks.require_tools("kubectl")
    kubectl = Kubectl(await current_context())
    server = await kubectl.require_answer()
    place = f"release {settings.release} in namespace {settings.namespace}, context {kubectl.context} ({server})"
    print(place, flush=True)
    async with AsyncExitStack() as forwards:
        ports = {
            component: await forwards.enter_async_context(
                forwarded(kubectl, settings.namespace, await _service(kubectl, settings, component), port)
            )
            for component, port in (("postgres", 5432), ("mockdex", 4000))
        }
        password = quote(await _password(kubectl, settings.namespace), safe="")
        environ = {
            **os.environ,
            "DATABASE_URL": f"postgresql://engine:{password}@127.0.0.1:{ports['postgres']}/engine",
            "DEX_URL": f"http://127.0.0.1:{ports['mockdex']}",
        }
        command = [sys.executable, "-m", "devstack", *arguments]
        process = await asyncio.create_subprocess_exec(*command, env=environ)
        return await process.wait()


@asynccontextmanager
async def forwarded(kubectl: Kubectl, namespace: str, service: str, port: int) -> AsyncGenerator[int]:
    """Forward a free port of 127.0.0.1, which kubectl chooses, to the service's port, and yield it.

    Raises ForwardFailed with what kubectl said.
    """
    what = ("port-forward", "--address=127.0.0.1", f"service/{service}", f":{port}")
    try:
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "--context", kubectl.context, "--namespace", namespace, *what),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; the forwarding is ended in its turn
        )
    except FileNotFoundError:
        raise missing("kubectl") from None
    try:
        yield await _forwarded_port(process, service)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _forwarded_port(process: asyncio.subprocess.Process, service: str) -> int:
    """Return the port that our own kubectl says it listens on."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
    with suppress(TimeoutError):
        async with asyncio.timeout(_FORWARDED_WITHIN_S):
            while line := await process.stdout.readline():
                if found := _FORWARDING.match(line):
                    return int(found[1])
            said = (await process.stderr.read()).decode(errors="replace").strip() or "it printed no reason"
            raise ForwardFailed(f"kubectl cannot forward a port to service {service}: {said}")
    raise ForwardFailed(f"kubectl did not forward a port to service {service} within {_FORWARDED_WITHIN_S:g} s.")


async def _service(kubectl: Kubectl, settings: DeploySettings, component: str) -> str:
    ours = f"app.kubernetes.io/instance={settings.release},app.kubernetes.io/component={component}"
    found = await kubectl.items("services", "--namespace", settings.namespace, "--selector", ours)
    if not found:
        raise ReleaseMissing(
            f"Release {settings.release} in namespace {settings.namespace} has no service of {component}: "
            "set RELEASE and NAMESPACE to those of a release with it, "
            "or run this without KUBERNETES, with DATABASE_URL and DEX_URL."
        )
    return text(found[0], "metadata", "name")


async def _password(kubectl: Kubectl, namespace: str) -> str:
    found = await kubectl.one("secret", _SECRET, "--namespace", namespace)
    encoded = text(found or {}, "data", _PASSWORD_KEY)
    if not encoded:
        raise ReleaseMissing(
            f"Secret {_SECRET} in namespace {namespace} has no {_PASSWORD_KEY}: set DATABASE_URL instead."
        )
    return base64.b64decode(encoded).decode()
