"""A pooler between the engine and PostgreSQL is found at the start, because it runs other statements than were sent."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.ports import free_port
from engine_common.store import durability
from engine_common.store.pool import answering, open_pool
from support.waiting import eventually

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (Debian: pgbouncer)")


@contextmanager
def pgbouncer(database_url: str, *settings: str, of_sessions: str = "") -> Iterator[str]:
    """Run a PgBouncer before the database and yield the URL that leads through it."""
    parts = psycopg.conninfo.conninfo_to_dict(database_url)
    port = free_port()
    names = [name for name in ("host", "port", "dbname", "user", "password") if name in parts]
    target = " ".join([*(f"{name}={parts[name]}" for name in names), of_sessions])
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        config = Path(directory) / "pgbouncer.ini"
        lines = ["[databases]", f"engine = {target}", "[pgbouncer]", f"listen_port = {port}", "listen_addr = 127.0.0.1"]
        lines += ["auth_type = any", "unix_socket_dir =", *settings]
        config.write_text("\n".join(lines) + "\n")
        config.chmod(0o644)
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        with subprocess.Popen([str(PGBOUNCER), "-q", str(config)], user=user, stderr=subprocess.DEVNULL) as process:
            try:
                yield f"postgresql://engine@127.0.0.1:{port}/engine"
            finally:
                process.terminate()


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "session", "statement"])
async def test_a_pooler_that_drops_the_sessions_settings_is_refused(shared_database_url: str, mode: str) -> None:
    """In whatever mode: without the settings a stalled peer holds locks for ever, and sessions may be another's."""
    settings = (f"pool_mode = {mode}", "ignore_startup_parameters = options,extra_float_digits")
    with pgbouncer(shared_database_url, *settings) as url:
        async with open_pool(url, size=1, name="test") as pool:
            await eventually(lambda: pool.get_stats().get("pool_available"))
            async with answering(pool) as connection:
                with pytest.raises(durability.PoolerBetween, match="let it name PostgreSQL itself"):
                    await durability.check(connection, production=False)


@needs_pgbouncer
async def test_a_pooler_is_refused_even_if_the_role_has_the_settings(shared_database_url: str) -> None:
    """Its sessions are shared all the same: what counts is whose session answers."""
    settings = ("pool_mode = transaction", "ignore_startup_parameters = options", "server_reset_query =")
    with pgbouncer(shared_database_url, *settings, of_sessions="connect_query='SET statement_timeout = 5000'") as url:
        async with open_pool(url, size=1, name="test") as pool:
            await eventually(lambda: pool.get_stats().get("pool_available"))
            async with answering(pool) as connection:
                with pytest.raises(durability.PoolerBetween):
                    await durability.check(connection, production=False)


async def test_a_direct_connection_is_no_pooler(shared_database_url: str) -> None:
    """The session that answers is the one that was opened."""
    async with open_pool(shared_database_url, size=1, name="test") as pool, answering(pool) as connection:
        await durability.check(connection, production=False)
