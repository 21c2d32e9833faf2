"""From no cluster to a confirmed, traced order on this machine; what is there already stays as it is."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from kindstack import checks, first_order, images
from kindstack.cluster import KindCluster
from kindstack.deploying import deploy, describe
from kindstack.faults import StackError
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
                tag = group.create_task(self._build_images())
                loaded = group.create_task(self._load_images(nodes, tag))
                group.create_task(self._bring_ingress(cluster, loaded))
                group.create_task(self._bring_engine(cluster, loaded, tag))
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from None
        finally:
            await self._untag()
        await self._prove()

    async def _check(self) -> bool:
        if self._settings.stopped:
            raise StackError("STOPPED is for `make deploy`; what `make kind-up` makes is proved by an order: unset it.")
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

    async def _build_images(self) -> str:
        if self._settings.tag:
            return self._settings.tag
        with self._steps.step("building the images of api, worker and mockdex") as step:
            self._development_tag = await images.build()
            step.tell(f"images built: {self._development_tag}")
        return self._development_tag

    async def _untag(self) -> None:
        if self._development_tag:  # the nodes have the images, and Docker keeps them under the version
            await images.untag(self._development_tag)

    async def _load_images(self, nodes: asyncio.Task[None], built: asyncio.Task[str]) -> None:
        """Bring to the nodes what their pods use, in as few loads as that takes."""
        manifests = [await self._release("none").render(), TRAEFIK.read_text()]
        await nodes
        every_node = await self._cluster.nodes()
        async with asyncio.TaskGroup() as group:
            bound = {self._cluster.data_node: _others(manifests, bound=True)}
            group.create_task(self._load(bound))
            release = self._release(await built)
            ours = [image for image in images.placements(await release.render()) if _is_ours(image)]
            free = dict.fromkeys(every_node, (*ours, *_others(manifests, bound=False)))
            group.create_task(self._load(free, () if release.registry else ours))

    async def _load(self, wanted: Mapping[str, Sequence[str]], required: Collection[str] = ()) -> None:
        names = ", ".join(sorted({_name(image) for every in wanted.values() for image in every}))
        with self._steps.step(f"images to the nodes: {names}") as step:
            brought = await images.load(self._cluster.name, wanted, required=required)
            step.tell(f"images {'brought to the nodes' if brought else 'that the nodes have already'}: {names}")

    async def _bring_ingress(self, cluster: asyncio.Task[None], loaded: asyncio.Task[None]) -> None:
        await cluster
        await loaded
        with self._steps.step("ingress: Traefik") as step:
            kubectl = self._cluster.kubectl
            await kubectl.apply(TRAEFIK.read_text())
            within = f"--timeout={self._settings.deploy_timeout_s}s"
            await kubectl.run("rollout", "status", "deployment/traefik", "--namespace=traefik", within)
            step.tell("ingress: Traefik is ready")

    async def _bring_engine(
        self, cluster: asyncio.Task[None], loaded: asyncio.Task[None], built: asyncio.Task[str]
    ) -> None:
        await cluster
        await loaded
        release = self._release(await built)
        if await release.is_deployed():
            self._steps.say(f"         ✓ release {release.name} is deployed already, exactly like this")
        else:
            await deploy(release, self._steps)

    async def _prove(self) -> None:
        with self._steps.step(f"an order through {self.url}") as step:
            order = await first_order.place(self.url)
            step.tell(f"order {order.order_id}: {' → '.join(order.seen)}")
        with self._steps.step("its trace in Jaeger") as step:
            trace_id, spans = await first_order.trace(self.url, order.order_id)
            step.tell(f"trace {trace_id}: {spans} spans of {', '.join(sorted(first_order.SERVICES))}")

    def _release(self, tag: str) -> Release:
        return describe(self._settings, self._cluster.kubectl, tag, [VALUES])


def _others(manifests: Iterable[str], *, bound: bool) -> list[str]:
    """Return the images that are not ours: those that run on the data node alone, or the rest."""
    placed = [each for every in manifests for each in images.placements(every).items()]
    return [image for image, is_bound in placed if is_bound is bound and not _is_ours(image)]


def _is_ours(image: str) -> bool:
    return _name(image) in images.OURS


def _name(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0]


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group: the others waited for the same, or were stopped because of it."""
    first = errors.exceptions[0]
    return (
        _first_of(cast("BaseExceptionGroup[BaseException]", first)) if isinstance(first, BaseExceptionGroup) else first
    )
