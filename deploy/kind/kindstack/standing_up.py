"""From no cluster to a confirmed, traced order on this machine; what is there already stays as it is."""

import asyncio
from pathlib import Path
from typing import cast

from kindstack import checks, first_order, images
from kindstack.cluster import KindCluster
from kindstack.deploying import deploy, describe
from kindstack.progress import Steps
from kindstack.release import Release, require_files
from kindstack.settings import KindSettings

VALUES = Path(__file__).parents[1] / "values.yaml"
TRAEFIK = Path(__file__).parents[1] / "traefik.yaml"
_TOOLS = ("docker", "kind", "kubectl", "helm", "make")


class StandingUp:
    """One run of `up`."""

    def __init__(self, settings: KindSettings, steps: Steps) -> None:
        self._settings = settings
        self._steps = steps
        self._cluster = KindCluster(settings)
        self._development_tag: str | None = None
        self.url = f"http://localhost:{settings.kind_http_port}"

    async def run(self) -> None:
        """Bring everything up, in parallel where nothing has to wait, and prove it by an order.

        Raises StackError in one of its forms.
        """
        exists = await self._check()
        try:
            async with asyncio.TaskGroup() as group:
                cluster = group.create_task(self._bring_cluster(exists))
                # Images are loaded while Kubernetes still starts.
                nodes = cluster if exists else group.create_task(self._cluster.wait_for_containers())
                tag = group.create_task(self._bring_images())
                group.create_task(self._bring_ingress(nodes, cluster))
                group.create_task(self._bring_engine(nodes, cluster, tag))
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from None
        finally:
            await self._untag()
        await self._prove()

    async def _check(self) -> bool:
        with self._steps.step("checking tools, Docker and the port"):
            await checks.require_tools(*_TOOLS)
            await checks.require_docker()
            require_files(self._release(""))
            exists = await self._cluster.exists()
            if not exists:
                await checks.require_port(self._settings.kind_http_port)
            for sentence in await checks.scarcities():
                self._steps.say(f"         ! {sentence}", style="yellow")
        return exists

    async def _bring_cluster(self, exists: bool) -> None:
        name = self._settings.kind_cluster
        if exists:
            with self._steps.step(f"cluster {name}") as step:
                woken = await self._cluster.wake()
                step.tell(f"cluster {name} {'is back' if woken else 'is there'}")
        else:
            with self._steps.step(f"creating the cluster {name}: two nodes") as step:
                await self._cluster.create()
                step.tell(f"cluster {name} made: two nodes, context {self._cluster.context}")

    async def _bring_images(self) -> str:
        if self._settings.tag:
            return self._settings.tag
        with self._steps.step("building the images of api, worker and mockdex") as step:
            self._development_tag = await images.build()
            step.tell(f"images built: {self._development_tag}")
        return self._development_tag

    async def _untag(self) -> None:
        if self._development_tag:  # the nodes have the images, and Docker keeps them under the version
            await images.untag(self._development_tag)

    async def _bring_ingress(self, nodes: asyncio.Task[None], cluster: asyncio.Task[None]) -> None:
        manifests = TRAEFIK.read_text()
        await nodes
        with self._steps.step("image of Traefik to the nodes") as step:
            brought = await self._load_others(manifests)
            step.tell(f"image of Traefik: {_brought(brought)}")
        await cluster
        with self._steps.step("ingress: Traefik") as step:
            kubectl = self._cluster.kubectl
            await kubectl.apply(manifests)
            within = f"--timeout={self._settings.deploy_timeout_s}s"
            await kubectl.run("rollout", "status", "deployment/traefik", "--namespace=traefik", within)
            step.tell("ingress: Traefik is ready")

    async def _bring_engine(
        self, nodes: asyncio.Task[None], cluster: asyncio.Task[None], built: asyncio.Task[str]
    ) -> None:
        rendered = await self._release("none").render()
        await nodes
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load_databases(rendered))
            release = self._release(await built)
            group.create_task(self._load_ours(release))
        await cluster
        if await release.is_deployed():
            self._steps.say(f"         ✓ release {release.name} is deployed already, exactly like this")
        else:
            await deploy(release, self._steps)

    async def _load_databases(self, manifests: str) -> None:
        with self._steps.step("images of PostgreSQL, Valkey and Jaeger to the nodes") as step:
            brought = await self._load_others(manifests)
            step.tell(f"images of PostgreSQL, Valkey and Jaeger: {_brought(brought)}")

    async def _load_ours(self, release: Release) -> None:
        with self._steps.step("our images to the nodes") as step:
            # All to all nodes in one go: they share most of their layers, which are then brought once.
            nodes = await self._cluster.nodes()
            wanted = [image for image in images.placements(await release.render()) if _is_ours(image)]
            brought = await images.load(self._cluster.name, dict.fromkeys(nodes, wanted), required=not release.registry)
            step.tell(f"our images: {_brought(brought)}")

    async def _load_others(self, manifests: str) -> int:
        """Bring the images that are not ours to the nodes whose pods use them."""
        nodes, data = await self._cluster.nodes(), self._cluster.data_node
        placed = {image: bound for image, bound in images.placements(manifests).items() if not _is_ours(image)}
        wanted = {node: [image for image, bound in placed.items() if node == data or not bound] for node in nodes}
        return await images.load(self._cluster.name, wanted, required=False)

    async def _prove(self) -> None:
        with self._steps.step(f"an order through {self.url}") as step:
            order = await first_order.place(self.url)
            step.tell(f"order {order.order_id}: {' → '.join(order.seen)}")
        with self._steps.step("its trace in Jaeger") as step:
            trace_id, spans = await first_order.trace(self.url, order.order_id)
            step.tell(f"trace {trace_id}: {spans} spans of {', '.join(sorted(first_order.SERVICES))}")

    def _release(self, tag: str) -> Release:
        return describe(self._settings, self._cluster.kubectl, tag, VALUES)


def _is_ours(image: str) -> bool:
    return image.rpartition("/")[2].partition(":")[0] in images.OURS


def _brought(number: int) -> str:
    return f"{number} brought to the nodes" if number else "the nodes have them already"


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group: the others waited for the same, or were stopped because of it."""
    first = errors.exceptions[0]
    return (
        _first_of(cast("BaseExceptionGroup[BaseException]", first)) if isinstance(first, BaseExceptionGroup) else first
    )
