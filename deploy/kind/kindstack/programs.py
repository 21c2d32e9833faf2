"""Calls of other programs, which end with the caller."""

import asyncio
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress

from devstack.faults import ToolMissing
from kindstack.faults import ProgramFailed

_TO_END_S = 20.0

WHERE_TO_GET = {
    "docker": "install Docker Engine 20.10 or newer (https://docs.docker.com/engine/install/)",
    "kind": "install it as https://kind.sigs.k8s.io/docs/user/quick-start/#installation says",
    "kubectl": "install it as https://kubernetes.io/docs/tasks/tools/ says",
    "helm": "install Helm 4 (or 3.14 and newer) as https://helm.sh/docs/intro/install/ says",
    "make": "install GNU make",
}


async def run(*command: str, stdin: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it wrote to its standard output.

    When the caller is cancelled, the program is asked to stop, and waited for.
    Raises ToolMissing when there is no such program, ProgramFailed when it ends with another status than 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environ is None else dict(environ),
            start_new_session=True,  # Ctrl-C is for us; what was called is stopped in its turn
        )
    except FileNotFoundError:
        raise missing(command[0]) from None
    try:
        out, err = await process.communicate(None if stdin is None else stdin.encode())
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode:
        said = err.decode(errors="replace").strip() or out.decode(errors="replace")
        raise ProgramFailed(shlex.join(command[:3]), process.returncode, said)
    return out.decode(errors="replace")


def missing(tool: str) -> ToolMissing:
    """Return the error for a program that is not in PATH."""
    return ToolMissing(f"`{tool}` is not installed, or not in PATH: {WHERE_TO_GET.get(tool, 'install it')}.")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(_TO_END_S):
                await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, 9)
            await process.wait()
