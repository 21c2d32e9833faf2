"""What must be there before anything is changed: tools, Docker, a free port, room."""

import asyncio
import json
import re
import shutil
from collections.abc import Awaitable
from contextlib import suppress

from devstack.faults import PortTaken, StackError
from devstack.ports import is_free, owner_of
from kindstack.faults import DockerSilent, ProgramFailed, ToolTooOld
from kindstack.programs import WHERE_TO_GET, missing, run

_DOCKER_ANSWERS_WITHIN_S = 15.0
_GIB = 2**30
_ROOMY_MEMORY_GIB = 4
_ROOMY_DISK_GIB = 8

_OLDEST = {"docker": (20, 10), "kind": (0, 20), "kubectl": (1, 28), "helm": (3, 14)}


async def require_tools(*tools: str) -> None:
    """Raise StackError with a sentence for each tool that is missing or too old."""
    await _all(*(_require_tool(tool) for tool in tools))


async def require_docker() -> None:
    """Raise DockerSilent unless Docker's engine answers, ToolTooOld when it is too old."""
    try:
        async with asyncio.timeout(_DOCKER_ANSWERS_WITHIN_S):
            version = await run("docker", "version", "--format", "{{.Server.Version}}")
    except TimeoutError:
        raise DockerSilent(
            f"Docker did not answer within {_DOCKER_ANSWERS_WITHIN_S:.0f} s: check `docker info` and DOCKER_HOST."
        ) from None
    except ProgramFailed as error:
        raise DockerSilent(_why_docker_is_silent(error.said)) from None
    _require_version("docker", version)


async def require_port(port: int) -> None:
    """Raise PortTaken, naming the owner where it can be known, unless a cluster could publish the port."""
    containers = (await run("docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}")).split()
    if containers:
        raise PortTaken(
            f"Port {port} is published by the container {containers[0]}: stop it, or set KIND_HTTP_PORT to another."
        )
    with suppress(PermissionError):  # a low port, which Docker may publish all the same
        if not is_free(port):
            owner = owner_of(port) or "another program"
            raise PortTaken(f"Port {port} is taken by {owner}: stop it, or set KIND_HTTP_PORT to another.")


async def scarcities() -> list[str]:
    """Return a sentence for what Docker has less of than a cluster with the whole system likes."""
    info = json.loads(await run("docker", "info", "--format", "{{json .}}"))
    found: list[str] = []
    memory = int(info.get("MemTotal", 0)) / _GIB
    if 0 < memory < _ROOMY_MEMORY_GIB:
        found.append(f"Docker has {memory:.1f} GiB of memory; with less than {_ROOMY_MEMORY_GIB} pods may be killed.")
    directory = str(info.get("DockerRootDir", ""))
    with suppress(OSError):  # not on this machine, or not for us to see
        free = shutil.disk_usage(directory).free / _GIB
        if free < _ROOMY_DISK_GIB:
            found.append(
                f"{free:.1f} GiB are free in {directory}; with less than {_ROOMY_DISK_GIB} pods may be evicted."
            )
    return found


async def _require_tool(tool: str) -> None:
    if shutil.which(tool) is None:
        raise missing(tool)
    if tool == "kind":
        _require_version(tool, await run("kind", "version", "--quiet"))
    elif tool == "kubectl":
        told = json.loads(await run("kubectl", "version", "--client", "--output=json"))
        _require_version(tool, told["clientVersion"]["gitVersion"])
    elif tool == "helm":
        _require_version(tool, await run("helm", "version", "--template", "{{.Version}}"))


def _require_version(tool: str, told: str) -> None:
    number = re.search(r"(\d+)\.(\d+)", told)
    oldest = _OLDEST[tool]
    if number and (int(number[1]), int(number[2])) < oldest:
        wanted = ".".join(map(str, oldest))
        raise ToolTooOld(f"`{tool}` is {told.strip()}, and at least {wanted} is needed: {WHERE_TO_GET[tool]}.")


def _why_docker_is_silent(said: str) -> str:
    last = (said.splitlines() or ["without a word"])[-1].rstrip(".")
    if "permission denied" in said:
        remedy = "add yourself to the group docker (sudo usermod -aG docker $USER, then log in again)"
    else:
        remedy = "start it (sudo systemctl start docker, or Docker Desktop), or correct DOCKER_HOST"
    return f"Docker does not answer ({last}): {remedy}."


async def _all(*checks: Awaitable[None]) -> None:
    """Wait for all checks and raise one error with what each of them has to say."""
    results = await asyncio.gather(*checks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if unforeseen := [error for error in errors if not isinstance(error, StackError)]:
        raise unforeseen[0]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise StackError("\n".join(str(error) for error in errors))
