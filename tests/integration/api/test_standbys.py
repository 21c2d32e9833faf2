"""A real standby: what a start says of it, and an api whose address leads to it, before and after its promotion."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

import psycopg
import pytest

from devstack import binaries
from devstack.accounts import server_account
from devstack.ports import free_port
from engine_common.migrate import migrate
from engine_common.store import durability
from engine_common.store.pool import answering, open_pool
from integration.api import outages
from integration.api.running_api import BODY, RunningApi, running_api
from support.waiting import eventually

_WARNING = "standbys are asynchronous"


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a primary of this module's own, and yield its URL."""
    server = outages.postgres(tmp_path_factory.mktemp("primary"))
    server.up()
    migrate(server.url)
    yield server.url
    server.down()


@pytest.fixture
def standby(primary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a hot standby of it, and yield its URL."""
    directory = tmp_path_factory.mktemp("standby") / "data"
    directory.mkdir(mode=0o700)
    account = server_account()
    if account:
        for path in (directory, *list(directory.parents)[:2]):
            path.chmod(0o711 if path != directory else 0o700)
        os.chown(directory, *account)
    user = {"user": account[0], "group": account[1], "extra_groups": []} if account else {}
    programs, port = binaries.postgres_directory(), free_port()
    copy = [programs / "pg_basebackup", "-D", ".", "-R", "-X", "stream", "-c", "fast", "-d", primary]
    subprocess.run(copy, cwd=directory, check=True, timeout=60, **user)  # type: ignore[call-overload]
    settings = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")
    serve = [programs / "postgres", "-D", "/proc/self/cwd", "-p", str(port), *settings]
    with (directory.parent / "log").open("wb") as log:
        process = subprocess.Popen(serve, cwd=directory, stdout=log, stderr=log, **user)  # type: ignore[call-overload]
    try:
        parts = psycopg.conninfo.conninfo_to_dict(primary)
        url = f"postgresql://{parts['user']}:{parts['password']}@127.0.0.1:{port}/{parts['dbname']}"
        asyncio.run(eventually(lambda: _answers(url)))
        yield url
    finally:
        process.terminate()
        process.wait(30)
        with psycopg.connect(primary, autocommit=True) as connection:
            _set_synchronous(connection, "")


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


def _set_synchronous(connection: psycopg.Connection, names: str) -> None:
    connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")  # type: ignore[arg-type]
    connection.execute("SELECT pg_reload_conf()")


async def check(url: str) -> None:
    async with open_pool(url, size=1, name="test") as pool, answering(pool) as connection:
        await durability.check(connection, production=True)


async def replicates(primary: str, states: Callable[[list[str | None]], bool]) -> None:
    def look() -> bool:
        with psycopg.connect(primary) as connection:
            return states([row[0] for row in connection.execute("SELECT sync_state FROM pg_stat_replication")])

    await eventually(look)


async def test_only_standbys_that_are_seen_to_be_asynchronous_are_warned_of(
    primary: str, standby: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not those that a role may not see, and not those that commits wait for."""
    del standby
    await replicates(primary, lambda states: states == ["async"])
    await check(primary)
    assert _WARNING in caplog.text
    caplog.clear()
    parts = psycopg.conninfo.conninfo_to_dict(primary)
    with psycopg.connect(primary, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS app")
        connection.execute("CREATE ROLE app LOGIN PASSWORD 'of-this-test'")
    await check(f"postgresql://app:of-this-test@{parts['host']}:{parts['port']}/{parts['dbname']}")
    assert _WARNING not in caplog.text
    with psycopg.connect(primary, autocommit=True) as connection:
        _set_synchronous(connection, "*")
    await replicates(primary, lambda states: states == ["sync"])
    await check(primary)
    assert _WARNING not in caplog.text


async def test_an_api_whose_address_leads_to_a_standby_serves_once_it_is_promoted(
    primary: str, standby: str, redis_url: str
) -> None:
    """Until then it is not ready, and refuses what it could not store."""
    await replicates(primary, lambda states: len(states) == 1)
    async with running_api(standby, redis_url) as api:
        assert (await api.get("/readyz")).status == 503
        (await api.post("/api/orders/execute", BODY)).problem(503, "unavailable")
        with psycopg.connect(standby, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        await eventually(lambda: _is_ready(api))
        assert (await api.post("/api/orders/execute", BODY)).status == 202


async def _is_ready(api: RunningApi) -> bool:
    return (await api.get("/readyz")).status == 200
