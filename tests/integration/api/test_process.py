"""The api as a process: how it starts, how it refuses to, and how it ends."""

import asyncio
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from devstack.ports import free_port
from integration.api.running_api import RunningApi
from support.waiting import eventually


def environment(database_url: str, redis_url: str, **variables: str) -> dict[str, str]:
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "API_PORT": str(free_port())}
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)} | own | variables


class Process:
    """A running `python -m engine_api`."""

    def __init__(self, process: asyncio.subprocess.Process, api: RunningApi) -> None:
        self.api = api
        self._process = process
        self._log = asyncio.create_task(self._read())

    async def _read(self) -> str:
        assert self._process.stdout
        return (await self._process.stdout.read()).decode()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    @property
    def pid(self) -> int:
        return self._process.pid

    def descriptors(self) -> int:
        """Count the files and sockets that it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def cpu_s(self) -> float:
        """Return the CPU time that it has spent."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ended(self) -> tuple[int, str]:
        """Wait for the end and return the exit code and the log."""
        return await self._process.wait(), await self._log


@asynccontextmanager
async def process(environ: dict[str, str]) -> AsyncIterator[Process]:
    """Run the api until it answers, and make sure that it has ended afterwards."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine_api",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with aiohttp.ClientSession() as session:
            api = RunningApi(int(environ["API_PORT"]), session)

            async def answers() -> bool:
                assert running.returncode is None
                try:
                    return (await api.get("/livez")).status == 200
                except aiohttp.ClientConnectionError:
                    return False

            started = Process(running, api)
            await eventually(answers)
            yield started
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_on_sigterm_sockets_are_told_to_come_back_and_the_process_ends(
    shared_database_url: str, redis_url: str, wallet: str
) -> None:
    """Close code 1012, exit code 0, nothing in the log but two lines, and what suits development only."""
    async with process(environment(shared_database_url, redis_url, ACCESS_LOG="false")) as running:
        api = running.api
        order_id = await api.place(userWallet=wallet)
        async with (
            api.listening(f"/ws/orders/{order_id}") as of_order,
            api.listening(f"/ws?wallet={wallet}") as of_wallet,
            api.listening("/api/orders/execute") as silent,
        ):
            await of_order.hear(1)
            await of_wallet.hear(1)
            running.terminate()
            assert [await ear.closed() for ear in (of_order, of_wallet, silent)] == [1012, 1012, 1012]
        code, log = await running.ended()
    assert code == 0, log
    events = [line for line in log.splitlines() if '"level":"info"' not in line]
    assert all("suit development only" in line or "API_KEYS_FILE" in line for line in events), log


async def test_an_order_that_is_under_way_is_answered_before_the_end(shared_database_url: str, redis_url: str) -> None:
    """A stop loses nothing that was accepted, and accepts nothing that it would lose."""
    async with process(environment(shared_database_url, redis_url)) as running:
        placing = [asyncio.create_task(running.api.place()) for _ in range(50)]
        await asyncio.wait(placing, return_when=asyncio.FIRST_COMPLETED)
        running.terminate()
        results = await asyncio.gather(*placing, return_exceptions=True)
        code, log = await running.ended()
    assert code == 0, log
    placed = [result for result in results if not isinstance(result, BaseException)]
    refused = [result for result in results if isinstance(result, BaseException)]
    assert placed
    assert all(isinstance(error, aiohttp.ClientConnectionError) for error in refused), refused
    async with await psycopg.AsyncConnection.connect(shared_database_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM orders WHERE id = ANY(%s)", (placed,))
        assert await cursor.fetchone() == (len(placed),)


def fails(environ: dict[str, str]) -> tuple[int, str]:
    """Run the api, which is expected to refuse, and return its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "engine_api"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_taken_port_is_one_clear_sentence(shared_database_url: str, redis_url: str) -> None:
    """It names the variable to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = fails(environment(shared_database_url, redis_url, API_PORT=port))
    assert code == 1
    assert said.splitlines() == [
        f"API_HOST, API_PORT: cannot listen on 127.0.0.1:{port} (Address already in use); set them to a free address."
    ]


def test_production_wants_its_servers_named(redis_url: str) -> None:
    """A default that suits development only is refused, by the variable's name."""
    environ = environment("", redis_url, ENV="production")
    code, said = fails(environ)
    assert code == 2
    assert [line.split()[0] for line in said.splitlines()] == ["DATABASE_URL", "API_KEYS_FILE"]


def test_production_wants_a_key(redis_url: str, tmp_path: Path) -> None:
    """A file without any would let nobody in, and is a mistake."""
    keys = tmp_path / "keys"
    keys.write_text("# none yet\n")
    code, said = fails(environment("", redis_url, ENV="production", API_KEYS_FILE=str(keys)))
    assert code == 2
    assert "API_KEYS_FILE holds no key: " in said


@pytest.mark.parametrize(("env", "starts"), [("production", False), ("development", True)])
async def test_commits_that_do_not_last_are_refused_in_production(
    database_url: str, redis_url: str, env: str, starts: bool, tmp_path: Path
) -> None:
    """In development they are warned of."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        await connection.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(psycopg.sql.Identifier(name))
        )
    keys = tmp_path / "keys"
    keys.write_text(f"desk:{hashlib.sha256(b'key').hexdigest()}\n")
    # A container is remote, and speaks plain text.
    allowed = {"API_KEYS_FILE": str(keys), "ALLOW_PLAINTEXT_DATABASE": "true"}
    environ = environment(database_url, redis_url, ENV=env, **allowed)
    if starts:
        async with process(environ) as running:
            running.terminate()
            code, said = await running.ended()
        assert code == 0
    else:
        code, said = await asyncio.to_thread(fails, environ)
        assert code == 1
    assert "synchronous_commit is off" in said


async def test_probes_and_metrics_have_a_port_of_their_own(
    shared_database_url: str, redis_url: str, wallet: str
) -> None:
    """Accepted and refused orders, sizes of batches and open sockets are counted there."""
    port = free_port()
    async with process(environment(shared_database_url, redis_url, METRICS_PORT=str(port))) as running:
        await running.api.place(userWallet=wallet)
        await running.api.post("/api/orders", {})
        pending = await running.api.place("/api/orders")
        assert (await running.api.post(f"/api/orders/{pending}/cancel")).status == 200
        assert (await running.api.post(f"/api/orders/{pending}/cancel")).status == 200  # repeated: it counts once
        async with (
            running.api.listening(f"/ws?wallet={wallet}") as ear,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            await ear.hear(1)
            ready: Any = await (await session.get("/readyz")).json()
            metrics = await (await session.get("/metrics")).text()
        running.terminate()
        await running.ended()
    assert ready == {"status": "up", "postgres": "up"}
    for line in (
        'engine_orders_accepted_total{status="queued"} 1.0',
        'engine_requests_refused_total{code="invalid_order"} 1.0',
        'engine_requests_refused_total{code="internal_error"} 0.0',
        'engine_batch_size_bucket{kind="insert",le="1"} 2.0',
        'engine_batch_size_bucket{kind="insert",le="500"} 2.0',
        'engine_commit_duration_seconds_count{kind="orders"} 2.0',
        'engine_commit_duration_seconds_count{kind="moves"} 1.0',
        'engine_orders_finished_total{reason="",status="cancelled"} 1.0',
        "engine_sockets_open 1.0",
    ):
        assert line in metrics, [said for said in metrics.splitlines() if said.startswith(line.partition("{")[0])]


async def test_without_file_descriptors_it_says_so_and_goes_on(shared_database_url: str, redis_url: str) -> None:
    """Who is connected is served, who comes is sent away without spinning, and who comes later is served again."""
    async with process(environment(shared_database_url, redis_url)) as running:
        limit = running.descriptors() + 10
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (limit, limit))
        crowd = [await asyncio.open_connection("127.0.0.1", running.api.port) for _ in range(30)]
        spent = running.cpu_s()
        await asyncio.sleep(2)
        assert running.cpu_s() - spent < 1
        assert (await running.api.get("/livez")).status == 200  # over the connection that is kept alive
        turned_away = [await asyncio.wait_for(reader.read(), 30) for reader, _ in crowd[-10:]]
        assert turned_away == [b""] * 10
        for _, writer in crowd:
            writer.close()
        await asyncio.sleep(2)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.api.port)
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        running.terminate()
        code, said = await running.ended()
    assert code == 0
    assert said.count("no file descriptors left of ") == 1
    assert said.count("file descriptors are to be had again") == 1
