"""The release that the tests share, and every way to it."""

import base64
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path

from cluster.commands import run
from cluster.drill import Site
from cluster.helm import Release
from cluster.kubernetes import Kubernetes
from kindstack.settings import KindSettings

ROOT = Path(__file__).parents[2]
SECRET = "order-engine-secrets"


def with_kindstack() -> dict[str, str]:
    """Return an environment in which `python -m kindstack` is found, as `make` calls it."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "deploy" / "kind")}


class Deployed:
    """A release on a kind cluster, as `make kind-up` leaves it."""

    def __init__(self, settings: KindSettings) -> None:
        self.cluster = settings.kind_cluster
        self.url = f"http://localhost:{settings.kind_http_port}"
        self.jaeger_url = f"{self.url}/jaeger"
        self.kubernetes = Kubernetes(settings.context, settings.namespace)
        self.ingress = Kubernetes(settings.context, "traefik", "app.kubernetes.io/name")
        self.release = Release(settings.context, settings.namespace, settings.release)

    @cached_property
    def site(self) -> Site:
        """The release as a drill needs it."""
        return Site(self.url, self.opened)

    async def nodes(self) -> list[str]:
        """Return the names of all nodes."""
        return (await run("kind", "get", "nodes", "--name", self.cluster)).split()

    async def stand_up(self) -> None:
        """Do what `make kind-up` does. Raises CommandFailed."""
        await run(sys.executable, "-m", "kindstack", "up", within_s=330, environ=with_kindstack())

    async def deploy(self, directory: Path, environ: Mapping[str, str]) -> None:
        """Do what `make deploy` does on this cluster, with other settings. Raises CommandFailed."""
        only_context = directory / "kubeconfig"
        view = ("config", "view", "--flatten", "--minify")
        only_context.write_text(await self.kubernetes.kubectl(*view))
        settings = {**with_kindstack(), "KUBECONFIG": str(only_context), **environ}
        await run(sys.executable, "-m", "kindstack", "deploy", within_s=330, environ=settings)

    @property
    def node_without_volumes(self) -> str:
        """Name of the node that can be drained."""
        return f"{self.cluster}-worker"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[str, str]]:
        """Lend the URLs of PostgreSQL and of the mock DEX. Raises CommandFailed."""
        kubernetes, name = self.kubernetes, self.release.name
        secret = await kubernetes.get("secret", SECRET)
        password = base64.b64decode(secret["data"]["postgres-password"]).decode()
        async with (
            kubernetes.forwarded(f"service/{name}-postgres", 5432) as database_port,
            kubernetes.forwarded(f"service/{name}-mockdex", 4000) as dex_port,
        ):
            yield (
                f"postgresql://engine:{password}@127.0.0.1:{database_port}/engine",
                f"http://127.0.0.1:{dex_port}",
            )
