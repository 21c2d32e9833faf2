"""One namespace of a cluster by kubectl, and processes by the nodes they run on."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from cluster.commands import CommandFailed, run
from support.waiting import eventually

_LOOK_EVERY_S = 2.0
_FORWARDED_WITHIN_S = 20.0
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
# A container's first process, as its node sees it: the one that is number 1 in its own namespace.
_FIRST_PROCESS = r"""
for process in /proc/[0-9]*; do
    if grep -q "$1" "$process/cgroup" && grep -qE '^NSpid:.*[[:space:]]1$' "$process/status"; then
        echo "${process#/proc/}"
    fi
done 2>/dev/null
"""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod as it was when it was looked at."""

    name: str
    uid: str
    node: str
    ready: bool
    stopping: bool
    restarts: int
    containers: Mapping[str, str]
    """ids by name"""

    @classmethod
    def of(cls, document: Document) -> "Pod":
        """Read what kubectl shows."""
        status: Document = document["status"]
        states: Sequence[Document] = status.get("containerStatuses", ())
        conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
        return cls(
            name=document["metadata"]["name"],
            uid=document["metadata"]["uid"],
            node=document["spec"].get("nodeName", ""),
            ready=conditions.get("Ready") == "True",
            stopping="deletionTimestamp" in document["metadata"],
            restarts=sum(state["restartCount"] for state in states),
            containers={state["name"]: state.get("containerID", "").rpartition("/")[2] for state in states},
        )


class Kubernetes:
    """A namespace; `context` is one of kubectl's contexts, `label` tells the components of what runs there."""

    def __init__(self, context: str, namespace: str, label: str = "app.kubernetes.io/component") -> None:
        self.context = context
        self.namespace = namespace
        self._label = label

    async def kubectl(self, *args: str, within_s: float = 120) -> str:
        """Run kubectl in the namespace. Raises CommandFailed."""
        where = ("--context", self.context, "--namespace", self.namespace)
        return await run("kubectl", *where, *args, within_s=within_s)

    async def get(self, *args: str) -> Document:
        """Return what `kubectl get` shows, as an object. Raises CommandFailed."""
        return json.loads(await self.kubectl("get", "--output", "json", *args))

    async def pods(self, component: str) -> list[Pod]:
        """Return the pods of a component, those that are being stopped included."""
        found = await self.get("pods", "--selector", f"{self._label}={component}")
        return [Pod.of(each) for each in found["items"]]

    async def ready_pods(self, component: str, count: int, within_s: float = 120) -> list[Pod]:
        """Wait until a component has exactly so many pods, all ready and none stopping, and return them."""

        async def look() -> list[Pod] | None:
            pods = await self.pods(component)
            steady = len(pods) == count and all(pod.ready and not pod.stopping for pod in pods)
            return pods if steady else await asyncio.sleep(_LOOK_EVERY_S)

        if count == 0:
            await eventually(lambda: self._is_gone(component), within_s)
            return []
        return await eventually(look, within_s)

    async def _is_gone(self, component: str) -> bool:
        return not await self.pods(component) or bool(await asyncio.sleep(_LOOK_EVERY_S))

    async def scale(self, component: str, replicas: int) -> None:
        """Scale a Deployment as a person would, and wait until it is so."""
        name = await self.deployment(component)
        await self.kubectl("scale", f"deployment/{name}", f"--replicas={replicas}")
        await self.ready_pods(component, replicas)

    async def deployment(self, component: str) -> str:
        """Return the name of a component's Deployment."""
        found = await self.get("deployments", "--selector", f"{self._label}={component}")
        return str(found["items"][0]["metadata"]["name"])

    @asynccontextmanager
    async def forwarded(self, target: str, port: int) -> AsyncIterator[int]:
        """Lend a local port that leads to a port of a pod or Service, as long as that pod lives.

        Raises CommandFailed when nothing is forwarded in time.
        """
        argv = ("kubectl", "--context", self.context, "--namespace", self.namespace, "port-forward", target, f":{port}")
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=dict(os.environ)
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_FORWARDED_WITHIN_S):
                line = (await process.stdout.readline()).decode()
            found = _FORWARDING.search(line)
            if found is None:
                raise CommandFailed(f"`{' '.join(argv)}` said: {line.strip() or 'nothing'}")
            drain = asyncio.create_task(process.stdout.read())
            yield int(found[1])
            drain.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def kill_process(pod: Pod, container: str) -> None:
    """Send SIGKILL to a container's first process from its node, which is a container of Docker in kind.

    Raises CommandFailed when there is not exactly one.
    """
    container_id = pod.containers[container]
    script = ("sh", "-c", _FIRST_PROCESS, "find", container_id)
    pids = (await run("docker", "exec", pod.node, *script)).split()
    if len(pids) != 1:
        raise CommandFailed(f"container {container_id} of {pod.name} has {len(pids)} first processes on {pod.node}")
    await run("docker", "exec", pod.node, "kill", "-KILL", *pids)
