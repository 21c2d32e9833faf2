"""A whole stack: servers, schema, mock DEX, workers and apis, brought up in order and taken down again."""

import secrets
import time
from collections.abc import Callable, Mapping

from solders.keypair import Keypair

from devstack import processes
from devstack.children import Program
from devstack.layout import Layout
from devstack.leftovers import end_leftovers
from devstack.ports import free_port
from devstack.postgres_server import Cluster
from devstack.processes import Wiring
from devstack.settings import StackSettings
from devstack.supervision import Supervisor
from devstack.valkey_server import Cache
from engine_common.listening import reached_at

_FACTS = ("database-url", "redis-url", "dex-url", "api-url", "admin-token")


class Stack:
    """One stack in its directory, which must be held (`Layout.held`) from before `up` until after `down`."""

    def __init__(
        self, settings: StackSettings, layout: Layout, say: Callable[[str], None], environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._say = say
        self._environ = environ
        self._supervisor = Supervisor(layout, say)
        self.watch = self._supervisor.watch
        self.request_stop = self._supervisor.request_stop
        self.hurry = self._supervisor.hurry
        self.api_url = f"http://{reached_at(settings.api_host)}:{settings.api_port}"
        self.dex_url = f"http://{reached_at(settings.mockdex_host)}:{settings.mockdex_port}"
        self.database_url = ""

    def up(self) -> None:
        """Bring everything up; returns when an order can be placed.

        Raises StackError in one of its forms, OSError; `down` cleans up after it.
        """
        self._layout.prepare()
        end_leftovers(self._layout)
        processes.require_ports(self._settings)
        servers, self.database_url, redis_url = self._prepare_servers()
        wiring = self._wire(redis_url)
        self._publish(wiring)
        dex, *services = processes.service_programs(self._settings, wiring)
        self._supervisor.launch(servers)
        self._supervisor.wait_until_ready()
        self._supervisor.launch([dex])  # needs no schema
        self._migrate(wiring)
        self._supervisor.launch(services)
        self._supervisor.wait_until_ready()

    def down(self) -> None:
        """Stop everything that was started, within 10 s."""
        self._supervisor.stop()
        self._layout.withdraw(*_FACTS)

    def _prepare_servers(self) -> tuple[list[Program], str, str]:
        """Return those servers that the environment does not name, and the URLs of PostgreSQL and Valkey."""
        database_url, redis_url = self._settings.database_url, self._settings.redis_url
        servers: list[Program] = []
        if not redis_url:
            cache = Cache(self._layout.data / "valkey", free_port())
            servers.append(cache.program())
            redis_url = cache.url
        if not database_url:
            cluster = Cluster(self._layout.data / "postgres", free_port())
            if cluster.is_new:
                self._say("postgres  making the database (first time only)")
            cluster.prepare(self._supervisor.run_to_end)
            servers.append(cluster.program())
            database_url = cluster.url
        return servers, database_url, redis_url

    def _wire(self, redis_url: str) -> Wiring:
        dex_data = self._settings.mock_dex_data_dir or self._layout.data / "mockdex"
        dex_data.mkdir(parents=True, exist_ok=True)
        return Wiring(
            environ=self._environ,
            database_url=self.database_url,
            redis_url=redis_url,
            dex_url=self._settings.dex_url or self.dex_url,
            dex_data=dex_data.resolve(),
            admin_token=self._settings.mock_dex_admin_token or secrets.token_urlsafe(24),
            wallet_key=self._settings.engine_wallet_key or self._layout.secret("wallet-key", _new_wallet_key),
        )

    def _publish(self, wiring: Wiring) -> None:
        facts = (wiring.database_url, wiring.redis_url, self.dex_url, self.api_url, wiring.admin_token)
        for name, fact in zip(_FACTS, facts, strict=True):
            self._layout.publish(name, fact)

    def _migrate(self, wiring: Wiring) -> None:
        started = time.monotonic()
        self._supervisor.run_to_end(processes.migration(wiring))
        self._say(f"migrate   done after {time.monotonic() - started:.1f} s")


def _new_wallet_key() -> str:
    return str(Keypair())
