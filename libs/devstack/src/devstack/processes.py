"""The table of processes that a stack consists of besides its servers."""

import http.client
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from devstack.children import Program
from devstack.ports import free_port, require_free
from devstack.settings import StackSettings
from engine_common.listening import reached_at
from engine_common.secret_files import SUFFIX

# Stopped from the highest to the lowest, each with its patience: 9 s in all, of the 10 that stopping may take.
SERVERS, DEX, WORKERS, APIS = range(4)
_PATIENCE_S = {DEX: 1.0, WORKERS: 5.0, APIS: 2.0}
_DRAIN_S = "3"  # what a worker may go on with its orders for leaves it time to release the rest
# What the stack gives its processes as variables, whether it was given as files or not.
_GIVEN = ("DATABASE_URL", "REDIS_URL", "DEX_URL", "ENGINE_WALLET_KEY", "MOCK_DEX_ADMIN_TOKEN")


@dataclass(frozen=True)
class Wiring:
    """What the processes must know of one another, and the environment that passes through to all of them."""

    environ: Mapping[str, str]
    database_url: str
    redis_url: str
    dex_url: str
    dex_data: Path
    admin_token: str
    wallet_key: str


def migration(wiring: Wiring) -> Program:
    """Return the program that brings the schema up to date and ends."""
    env = {**_passed(wiring), "DATABASE_URL": wiring.database_url}
    return Program("migrate", _module("engine_common.migrate"), env)


def require_ports(settings: StackSettings) -> None:
    """Raise PortTaken unless everything that has a fixed port can listen on it."""
    for port in settings.api_ports:
        require_free(port, "API_PORT", settings.api_host)
    require_free(settings.mockdex_port, "MOCKDEX_PORT", settings.mockdex_host)


def service_programs(settings: StackSettings, wiring: Wiring) -> list[Program]:
    """Return mock DEX, workers and apis, in this order and as many as the settings ask for."""
    metrics_ports = _metrics_ports(settings)
    common = {
        "ENGINE_DRAIN_S": _DRAIN_S,
        **_passed(wiring),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": wiring.database_url,
        "REDIS_URL": wiring.redis_url,
        "DEX_URL": wiring.dex_url,
    }

    def service(name: str, module: str, stage: int, host: str, port: int | None, **env: str) -> Program:
        metrics_port = metrics_ports()
        place = reached_at(host)
        return Program(
            name=name,
            argv=_module(module),
            env={**common, "METRICS_PORT": str(metrics_port), **env},
            ready=_answers_ready(place, port or metrics_port),
            address=f"http://{place}:{port or metrics_port}{'' if port else '/metrics'}",
            stage=stage,
            stop_patience_s=_PATIENCE_S[stage],
        )

    apis = [
        service(_numbered("api", index), "engine_api", APIS, settings.api_host, port, API_PORT=str(port))
        for index, port in enumerate(settings.api_ports)
    ]
    dex = service(
        "mockdex",
        "mockdex",
        DEX,
        settings.mockdex_host,
        settings.mockdex_port,
        MOCKDEX_PORT=str(settings.mockdex_port),
        MOCK_DEX_DATA_DIR=str(wiring.dex_data),
        MOCK_DEX_ADMIN_TOKEN=wiring.admin_token,
    )
    workers = [
        service(
            f"worker-{number}",
            "engine_worker",
            WORKERS,
            settings.metrics_host,
            None,
            ENGINE_WALLET_KEY=wiring.wallet_key,
        )
        for number in range(1, settings.workers + 1)
    ]
    return [dex, *workers, *apis]


def _numbered(name: str, index: int) -> str:
    return name if index == 0 else f"{name}-{index + 1}"


def _passed(wiring: Wiring) -> dict[str, str]:
    """Return the environment less the files of what the stack gives itself: both would be refused."""
    files = {name + SUFFIX for name in _GIVEN}
    return {name: value for name, value in wiring.environ.items() if name not in files}


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _metrics_ports(settings: StackSettings) -> Callable[[], int]:
    """Give every process a port of its own: consecutive ones from METRICS_PORT on where that is set."""
    if settings.metrics_port is None:
        return free_port
    following = iter(range(settings.metrics_port, 65536))

    def next_port() -> int:
        port = next(following)
        require_free(port, "METRICS_PORT", settings.metrics_host)
        return port

    return next_port


def _answers_ready(host: str, port: int) -> Callable[[int], bool]:
    def ready(_pid: int) -> bool:
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection(host.strip("[]"), port, timeout=1.0)) as connection,
        ):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False

    return ready
