"""The whole stack with a proxy on every connection, put together from devstack's building blocks and supervised."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
from solders.keypair import Keypair

from chaos.kinds import LINKS, Topology
from chaos.proxy import FAIR, Proxy, proxy_before
from devstack import processes
from devstack.children import Program
from devstack.faults import StackError
from devstack.layout import Layout
from devstack.ports import free_port, is_free
from devstack.postgres_server import Cluster
from devstack.processes import Wiring
from devstack.settings import StackSettings
from devstack.supervision import Supervisor
from devstack.valkey_server import Cache

# Blocks, leases and pauses so short that expiry and recovery happen while a fault lasts.
SETTINGS: Mapping[str, str] = {
    "MOCK_DEX_QUOTE_DELAY_MS": "20",
    "MOCK_DEX_EXECUTION_DELAY_MS": "300",
    "MOCK_DEX_FAILURE_RATE": "0.03",
    "MOCK_DEX_BLOCK_MS": "100",
    "MOCK_DEX_VALID_BLOCKS": "50",
    "ENGINE_LEASE_S": "3",
    "ENGINE_RETRY_BASE_MS": "100",
    "ENGINE_DEX_PATIENCE_S": "8",
}
# So few that a handful of strangers takes the last of them.
_MAX_CONNECTIONS = 60
_API_PORT_STEP = 100
_PASSED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
_LOOPBACK = "127.0.0.1"
_VARIABLES = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "mockdex": "DEX_URL"}


class System:
    """A running stack, its addresses, and the proxies in it by the names of `Topology.links`."""

    def __init__(
        self,
        root: Path,
        topology: Topology,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        restart_after_s: float = 0.1,
    ) -> None:
        self.layout = Layout(root)
        self.topology = topology
        self.proxies: dict[str, Proxy] = {}
        self.admin_token = secrets.token_urlsafe(24)
        self.supervisor = Supervisor(self.layout, say, restart_after_s)
        neutral = {name: os.environ[name] for name in _PASSED if name in os.environ}
        self._environ = {**neutral, **SETTINGS, **environ}
        self._settings = StackSettings(
            stack_dir=root,
            api_host=_LOOPBACK,
            api_port=_free_api_ports(topology.apis),
            mockdex_host=_LOOPBACK,
            mockdex_port=free_port(),
            apis=topology.apis,
            workers=topology.workers,
            database_url=None,
            redis_url=None,
            dex_url=None,
            mock_dex_admin_token=None,
            mock_dex_data_dir=None,
            engine_wallet_key=None,
            env="development",
            metrics_port=None,
        )
        self._cluster = Cluster(self.layout.data / "postgres", free_port())
        self._cache = Cache(self.layout.data / "valkey", free_port())
        self.dex_url = f"http://{_LOOPBACK}:{self._settings.mockdex_port}"
        self.redis_url = self._cache.url

    @property
    def database_url(self) -> str:
        """PostgreSQL, without a proxy."""
        return self._cluster.url

    @property
    def api_urls(self) -> list[str]:
        """Every api, through the clients' proxies."""
        return [f"http://{_LOOPBACK}:{self.proxies[link].port}" for link in self.topology.links("client", "api")]

    def pid(self, name: str) -> int | None:
        """Return the pid of a process; None while it is about to be started again."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.layout.pid_file(name).read_text())
        return None

    def family(self, name: str) -> list[int]:
        """Return the pids of a process and of its children, the process first; empty while it does not run."""
        parent = self.pid(name)
        if parent is None:
            return []
        return [parent, *_children(parent)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bring everything up, keep it up, and take it down.

        Raises StackError in one of its forms.
        """
        with self.layout.held():
            async with AsyncExitStack() as stack:
                for link, port in self._targets().items():
                    self.proxies[link] = await stack.enter_async_context(proxy_before(_LOOPBACK, port))
                keeper = asyncio.create_task(asyncio.to_thread(self._keep, ready := asyncio.Event(), _loop()))
                try:
                    await _first(asyncio.create_task(ready.wait()), keeper)
                    yield
                finally:
                    self.be_fair()  # who is stopped cannot end
                    self.supervisor.request_stop()
                    with contextlib.suppress(StackError):  # told already, by `_first`
                        await keeper

    def be_fair(self) -> None:
        """End every fault of the network and wake up whoever was stopped."""
        for proxy in self.proxies.values():
            proxy.weather = FAIR
        for file in self.layout.run.glob("*.pid"):
            for pid in self.family(file.stem):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def set_dex(self, **values: object) -> None:
        """Change settings of the mock DEX. Raises aiohttp.ClientError, TimeoutError."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.patch(
                f"{self.dex_url}/admin/settings",
                json=values,
                headers={"authorization": f"Bearer {self.admin_token}"},
            ) as response,
        ):
            response.raise_for_status()

    def _targets(self) -> dict[str, int]:
        ports = {
            "postgres": self._cluster.port,
            "valkey": self._cache.port,
            "mockdex": self._settings.mockdex_port,
            **dict(zip(self.topology.members("api"), self._settings.api_ports, strict=True)),
        }
        links = [link for near, far in LINKS for link in self.topology.links(near, far)]
        return {link: ports[link.partition(">")[2]] for link in links}

    def _keep(self, ready: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        """Run the stack from first to last, in the thread of the caller."""
        try:
            self._up()
            loop.call_soon_threadsafe(ready.set)
            self.supervisor.watch()
        finally:
            self.supervisor.stop()

    def _up(self) -> None:
        self.layout.prepare()
        self._cluster.prepare(self.supervisor.run_to_end)
        postgres = self._cluster.program()
        postgres = replace(postgres, argv=[*postgres.argv, "-c", f"max_connections={_MAX_CONNECTIONS}"])
        self.supervisor.launch([self._cache.program(), postgres])
        self.supervisor.wait_until_ready()
        wiring = self._wire()
        dex, *services = processes.service_programs(self._settings, wiring)
        self.supervisor.launch([dex])
        self.supervisor.run_to_end(processes.migration(wiring))
        self.supervisor.launch([self._through_proxies(service) for service in services])
        self.supervisor.wait_until_ready()

    def _wire(self) -> Wiring:
        dex_data = self.layout.data / "mockdex"
        dex_data.mkdir(parents=True, exist_ok=True)
        return Wiring(
            environ=self._environ,
            database_url=self.database_url,
            redis_url=self.redis_url,
            dex_url=self.dex_url,
            dex_data=dex_data,
            admin_token=self.admin_token,
            wallet_key=self.layout.secret("wallet-key", lambda: str(Keypair())),
        )

    def _through_proxies(self, service: Program) -> Program:
        env = dict(service.env)
        for link, proxy in self.proxies.items():
            near, _, far = link.partition(">")
            if near == service.name:
                env[_VARIABLES[far]] = proxy.url(env[_VARIABLES[far]])
        return replace(service, env=env)


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


def _free_api_ports(apis: int) -> int:
    """Return a port that leaves the further ports of the apis free as well."""
    while True:
        port = free_port()
        if all(is_free(port + index * _API_PORT_STEP) for index in range(apis)):
            return port


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _first(wanted: asyncio.Task[bool], keeper: asyncio.Task[None]) -> None:
    """Wait for the one; raise what ended the other, if that comes first."""
    await asyncio.wait((wanted, keeper), return_when=asyncio.FIRST_COMPLETED)
    wanted.cancel()
    if keeper.done():
        keeper.result()
