"""The whole system as containers on one network: the built images beside PostgreSQL, Valkey and Jaeger."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from solders.keypair import Keypair
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from support.backends import POSTGRES_IMAGE, VALKEY_IMAGE

JAEGER_IMAGE = "jaegertracing/jaeger:2.13.0"
SERVICES = ("api", "worker", "mockdex")

# As Kubernetes runs them in a namespace that enforces "restricted".
_WRITTEN_TO = ("/tmp", "/data")  # noqa: S108 - emptyDirs and volumes there
_CONFINED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}


@dataclass
class Containers:
    """A running system of containers."""

    images: Mapping[str, str]
    """by service"""
    network: Network
    running: ExitStack
    services: dict[str, DockerContainer] = field(default_factory=dict)

    def url(self, name: str, port: int) -> str:
        """Return where a container's port is reached from here."""
        container = self.services[name]
        return f"http://{container.get_container_host_ip()}:{container.get_exposed_port(port)}"

    def stop(self, name: str) -> int:
        """Stop a service as Kubernetes does, with 30 s of grace, and return its exit code."""
        wrapped = self.services[name].get_wrapped_container()
        wrapped.stop(timeout=30)
        return int(wrapped.wait()["StatusCode"])

    def log(self, name: str) -> str:
        """Return what a service has written."""
        return b"".join(self.services[name].get_logs()).decode()

    def run(self, name: str, image: str, *ports: int, **kwargs: Any) -> DockerContainer:
        """Start a container that the others reach by its name."""
        environment, command = kwargs.pop("environment", {}), kwargs.pop("command", None)
        container = DockerContainer(image, network=self.network, network_aliases=[name], ports=list(ports), **kwargs)
        container.with_envs(**environment)
        if command:
            container.with_command(command)
        for directory in _WRITTEN_TO:
            container.with_tmpfs_mount(directory, "uid=10001,gid=10001")
        self.running.callback(container.stop)
        self.services[name] = container.start()
        return container


@contextmanager
def running_system(images: Mapping[str, str]) -> Iterator[Containers]:
    """Start everything, migrate as an init container would, and stop it in the end."""
    with warnings.catch_warnings(), ExitStack() as running:
        warnings.simplefilter("ignore")  # what Docker's client warns of is not ours
        system = Containers(images, running.enter_context(Network()), running)
        _start_backends(system)
        _start_services(system)
        yield system


_PASSWORD = secrets.token_hex(8)


def _start_backends(system: Containers) -> None:
    postgres = {"POSTGRES_USER": "engine", "POSTGRES_DB": "engine", "POSTGRES_PASSWORD": _PASSWORD}
    system.run("postgres", POSTGRES_IMAGE, environment=postgres)
    system.run("valkey", VALKEY_IMAGE)
    system.run("jaeger", JAEGER_IMAGE, 16686, environment={"JAEGER_LISTEN_HOST": "0.0.0.0"})  # noqa: S104 - inside its container


def _start_services(system: Containers) -> None:
    common = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "METRICS_PORT": "9464",
    }
    engine = {
        **common,
        "DATABASE_URL": f"postgresql://engine:{_PASSWORD}@postgres:5432/engine",
        "REDIS_URL": "redis://valkey:6379/0",
    }
    wallet = {"DEX_URL": "http://mockdex:4000", "ENGINE_WALLET_KEY": str(Keypair())}
    images = system.images
    migrator = ["python", "-m", "engine_common.migrate"]
    _confined(system, "migrate", images["api"], environment=engine, entrypoint=[*migrator, "--patience", "60"])
    _confined(system, "waiter", images["worker"], environment=engine, entrypoint=[*migrator, "--wait"])
    _confined(system, "mockdex", images["mockdex"], 4000, 9464, environment=common)
    for name in ("migrate", "waiter"):
        code = system.services[name].wait()
        assert code == 0, f"{name} ended with {code}: {system.log(name)}"
    _confined(system, "api", images["api"], 3000, 9464, environment=engine)
    _confined(system, "worker", images["worker"], 9464, environment={**engine, **wallet})


def _confined(system: Containers, name: str, image: str, *ports: int, **kwargs: Any) -> None:
    system.run(name, image, *ports, **{**_CONFINED, **kwargs})
