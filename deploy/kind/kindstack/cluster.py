"""The kind cluster: made when there is none, woken when it sleeps, removed without a trace."""

import asyncio
import json
from pathlib import Path

import yaml

from kindstack.documents import Document, parts, text
from kindstack.faults import ClusterUnusable, ContextUnusable, ProgramFailed
from kindstack.kubectl import Kubectl, contexts
from kindstack.programs import run
from kindstack.settings import KindSettings

CONFIG = Path(__file__).parents[1] / "cluster.yaml"
INGRESS_NODE_PORT = 30080
_READY_WITHIN_S = 180
_ANSWERS_WITHIN_S = 120.0
_NETWORK = "kind"


class KindCluster:
    """The cluster of one name on this machine's Docker."""

    def __init__(self, settings: KindSettings) -> None:
        self.name = settings.kind_cluster
        self.port = settings.kind_http_port
        self.context = settings.context
        self._node_image = settings.kind_node_image
        self.kubectl = Kubectl(self.context)

    @property
    def data_node(self) -> str:
        """Name of the node that keeps the volumes."""
        return f"{self.name}-control-plane"

    async def exists(self) -> bool:
        """Tell whether kind knows the cluster, in whatever state."""
        return self.name in (await run("kind", "get", "clusters")).splitlines()

    async def nodes(self) -> list[str]:
        """Return the names of the nodes, which are those of their containers."""
        return sorted((await run("kind", "get", "nodes", "--name", self.name)).split())

    async def create(self) -> None:
        """Create the cluster; leave nothing of it when that does not succeed.

        Raises ClusterUnusable.
        """
        image = ("--image", self._node_image) if self._node_image else ()
        wait = ("--wait", f"{_READY_WITHIN_S}s")
        config = config_with_port(CONFIG.read_text(), self.name, self.port)
        try:
            await run("kind", "create", "cluster", "--config=-", *image, *wait, stdin=config)
            await self._complete()
        except asyncio.CancelledError:
            await run("kind", "delete", "cluster", "--name", self.name)
            raise
        except ProgramFailed as error:
            if "already exist" not in error.said:  # then it is somebody else's, made in this moment
                await run("kind", "delete", "cluster", "--name", self.name)
            raise ClusterUnusable(_why_not_created(error.said)) from None

    async def wait_for_containers(self) -> None:
        """Wait until images can be loaded, which is long before Kubernetes is ready."""
        wanted = len(yaml.safe_load(CONFIG.read_text())["nodes"])
        while True:
            nodes = await self.nodes()
            try:
                await asyncio.gather(*(run("docker", "exec", node, "ctr", "version") for node in nodes))
            except ProgramFailed:
                nodes = []
            if len(nodes) == wanted:
                return
            await asyncio.sleep(1)

    async def wake(self) -> bool:
        """Bring an existing cluster to where it can be used; tell whether anything had to be done.

        Raises ClusterUnusable when it is another one than `create` makes.
        """
        containers: list[Document] = json.loads(await run("docker", "container", "inspect", *await self.nodes()))
        self._require_port(containers)
        asleep = [each["Name"].removeprefix("/") for each in containers if not each["State"]["Running"]]
        if asleep:
            await run("docker", "start", *asleep)
        known = self.context in await contexts()
        if not known:
            await run("kind", "export", "kubeconfig", "--name", self.name)
        await self._wait_for_answer()
        await self._complete()
        return bool(asleep) or not known

    async def delete(self) -> None:
        """Remove the cluster, its context, and kind's network when no other container uses it."""
        await run("kind", "delete", "cluster", "--name", self.name)
        others = await run("docker", "ps", "--all", "--quiet", "--filter", f"network={_NETWORK}")
        networks = await run("docker", "network", "ls", "--quiet", "--filter", f"name=^{_NETWORK}$")
        if networks.strip() and not others.strip():
            await run("docker", "network", "rm", _NETWORK)

    def _require_port(self, containers: list[Document]) -> None:
        published = [
            int(text(binding, "HostPort"))
            for container in containers
            for binding in parts(container, "HostConfig", "PortBindings", f"{INGRESS_NODE_PORT}/tcp")
        ]
        if not published:
            raise ClusterUnusable(
                f"The kind cluster {self.name} was not made by `make kind-up` (it does not publish port "
                f"{INGRESS_NODE_PORT} of its nodes): remove it with `make kind-down`, or set KIND_CLUSTER to another."
            )
        if self.port not in published:
            raise ClusterUnusable(
                f"The cluster {self.name} is published on port {published[0]}, not {self.port}: set KIND_HTTP_PORT="
                f"{published[0]}, or remove it with `make kind-down` first."
            )

    async def _wait_for_answer(self) -> None:
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                while True:
                    try:
                        await self.kubectl.require_answer()
                    except ContextUnusable:
                        await asyncio.sleep(1)
                    else:
                        return
        except TimeoutError:
            raise ClusterUnusable(
                f"The cluster {self.name} is there, but its API does not answer: `make kind-down`, then `make kind-up`."
            ) from None

    async def _complete(self) -> None:
        """Wait for the nodes, and have kube-proxy ask for CPU.

        It asks for none, and on busy cores learns seconds too late that a pod has gone.
        """
        await self.kubectl.run("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={_READY_WITHIN_S}s")
        share = ("--namespace=kube-system", "--requests=cpu=50m,memory=64Mi")
        await self.kubectl.run("set", "resources", "daemonset/kube-proxy", *share)


def config_with_port(config: str, name: str, port: int) -> str:
    """Return kind's configuration with the cluster's name, and the ingress published on a port of localhost."""
    document = yaml.safe_load(config)
    document["name"] = name
    for node in document["nodes"]:
        for mapping in node.get("extraPortMappings", ()):
            if mapping["containerPort"] == INGRESS_NODE_PORT:
                mapping["hostPort"] = port
    return yaml.safe_dump(document)


def _why_not_created(said: str) -> str:
    lines = said.splitlines()
    told = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no reason given")
    told = told.removeprefix("ERROR: ").removeprefix("failed to create cluster: ").rstrip(".")
    remedy = "set KIND_NODE_IMAGE to a node image that can be had" if "pull image" in told else "see `docker ps -a`"
    return f"kind could not create the cluster ({told}): {remedy}, then try again."
