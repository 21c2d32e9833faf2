import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis

from devstack import servers
from devstack.ports import free_port

Start = Callable[..., Any]


def test_up_says_ready_on_a_line_of_its_own_and_leaves_its_facts(start_stack: Start) -> None:
    """What others need to find the stack stands in run/, secrets for their owner alone."""
    stack = start_stack(WORKERS="2", APIS="2")
    stack.until(rf"^ready: http://127\.0\.0\.1:{stack.env['API_PORT']}$")
    names = {"postgres", "valkey", "mockdex", "api", "api-2", "worker-1", "worker-2"}
    assert {file.stem for file in (stack.root / "run").glob("*.pid")} == names
    assert {file.stem for file in (stack.root / "logs").glob("*.log")} >= names
    assert {stack.pid(name) for name in names} <= stack.processes()
    for secret in ("run/database-url", "run/admin-token", "data/wallet-key"):
        assert stat.S_IMODE((stack.root / secret).stat().st_mode) == 0o600
    with psycopg.connect(stack.fact("database-url")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    with Redis.from_url(stack.fact("redis-url")) as client:
        assert client.ping()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_every_process(start_stack: Start, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal leave nothing behind, and are no failure."""
    stack = start_stack()
    stack.until("^ready: ")
    assert stack.stop(number) == 0
    assert stack.processes() == set()
    assert [file.name for file in (stack.root / "run").iterdir()] == ["lock"]


def test_stopping_takes_less_than_ten_seconds_when_nobody_wants_to_end(start_stack: Start) -> None:
    """Services that ignore SIGTERM, and their children, are killed in time."""
    stack = start_stack(
        STANDIN_STUBBORN="engine_api engine_worker mockdex", STANDIN_FORKING="engine_worker", WORKERS="2", APIS="2"
    )
    stack.until("^ready: ")
    started = time.monotonic()
    assert stack.stop() == 0
    assert time.monotonic() - started < 10
    assert stack.processes() == set()


def test_a_second_ctrl_c_hurries(start_stack: Start) -> None:
    """The person may insist."""
    stack = start_stack(STANDIN_STUBBORN="engine_api engine_worker mockdex")
    stack.until("^ready: ")
    started = time.monotonic()
    stack.process.send_signal(signal.SIGINT)
    stack.until("^stopping")
    assert stack.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 4
    assert stack.processes() == set()


def test_a_stop_while_coming_up_ends_everything(start_stack: Start) -> None:
    """Ctrl-C works at any time, during initdb too."""
    stack = start_stack()
    stack.until("^postgres  making")
    assert stack.stop(signal.SIGINT) == 0
    assert stack.processes() == set()
    assert "ready: " not in stack.output
    again = start_stack(stack.root)
    again.until("^ready: ")


@pytest.mark.parametrize("name", ["postgres", "valkey", "mockdex", "api", "worker-1"])
def test_a_process_that_dies_is_started_again(start_stack: Start, name: str) -> None:
    """As a pod would be, and under the same address."""
    stack = start_stack()
    stack.until("^ready: ")
    killed = stack.pid(name)
    subprocess.run(["kill", "-KILL", str(killed)], check=True)
    stack.until(rf"^{name} +ready again")
    assert stack.pid(name) != killed
    with psycopg.connect(stack.fact("database-url")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_the_children_of_a_killed_process_go_with_it(start_stack: Start) -> None:
    """As when a container's first process is killed: no orphan goes on working beside its successor."""
    stack = start_stack(STANDIN_FORKING="engine_worker")
    stack.until("^ready: ")
    before = stack.processes()
    subprocess.run(["kill", "-KILL", str(stack.pid("worker-1"))], check=True)
    stack.until("^worker-1 +ready again")
    gone = before - stack.processes()
    assert len(gone) == 2


def test_a_process_that_keeps_dying_is_reported_with_its_log(start_stack: Start) -> None:
    """The stack gives up, says why in the process's own words and where there is more, and leaves nothing behind."""
    stack = start_stack(STANDIN_DYING="engine_worker")
    assert stack.ended() == 1
    assert f"devstack: worker-1 ended with code 1; the end of {stack.root}/logs/worker-1.log:" in stack.output
    assert "engine_worker has a reason to die" in stack.output
    assert "Traceback" not in stack.output
    assert stack.processes() == set()


def test_refused_settings_are_reported_at_the_first_try(start_stack: Start) -> None:
    """A service that cannot use its environment will not be able to the next time."""
    stack = start_stack(STANDIN_REFUSING="engine_api")
    assert stack.ended() == 1
    assert "SOME_SETTING must be a whole number" in stack.output
    assert "starting it again" not in stack.output


def test_settings_of_services_pass_through(start_stack: Start) -> None:
    """Any variable that devstack does not know is the services' own."""
    stack = start_stack(ANY_SETTING="17")
    stack.until("^ready: ")
    for name in ("api", "worker-1", "mockdex"):
        assert "ANY_SETTING=17" in (stack.root / "logs" / f"{name}.log").read_text()


def test_data_and_keys_survive_a_restart(start_stack: Start) -> None:
    """The same orders, the same wallet; the previous run's logs are kept beside the new ones."""
    first = start_stack()
    first.until("^ready: ")
    with psycopg.connect(first.fact("database-url"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    wallet = (first.root / "data" / "wallet-key").read_text()
    first.stop()
    second = start_stack(first.root)
    second.until("^ready: ")
    with psycopg.connect(second.fact("database-url")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert (second.root / "data" / "wallet-key").read_text() == wallet
    assert (second.root / "logs" / "api.log.previous").exists()


def test_a_killed_supervisor_leaves_nothing_that_hinders_the_next(start_stack: Start) -> None:
    """After SIGKILL the kernel ends the stack; the same directory and ports serve again at once."""
    first = start_stack(STANDIN_STUBBORN="engine_worker", STANDIN_FORKING="engine_worker")
    first.until("^ready: ")
    old = first.processes()
    first.process.kill()
    first.ended()
    ports = {name: first.env[name] for name in ("API_PORT", "MOCKDEX_PORT")}
    second = start_stack(first.root, **ports)
    second.until("^ready: ")
    assert not old & second.processes()


def test_servers_named_by_the_environment_are_used_instead_of_our_own(start_stack: Start, tmp_path: Path) -> None:
    """DATABASE_URL and REDIS_URL replace the servers of the stack."""
    with servers.postgres(tmp_path / "pg") as database_url, servers.valkey(tmp_path / "valkey") as redis_url:
        stack = start_stack(DATABASE_URL=database_url, REDIS_URL=redis_url)
        stack.until("^ready: ")
        assert not (stack.root / "run" / "postgres.pid").exists()
        assert stack.fact("database-url") == database_url
        assert stack.fact("redis-url") == redis_url
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        stack.stop()


def test_a_taken_port_is_named_with_its_owner_and_the_variable_to_change(start_stack: Start) -> None:
    """One sentence that says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        stack = start_stack(MOCKDEX_PORT=str(port))
        assert stack.ended() == 1
    owner = rf"\S+ \(pid {_own_pid()}\)"
    stack.until(rf"^devstack: Port {port} is taken by {owner}: stop it, or set MOCKDEX_PORT to another port\.$")
    assert "Traceback" not in stack.output


def test_a_second_stack_in_the_same_directory_is_refused(start_stack: Start) -> None:
    """And so is removing the directory under a running stack; once it is stopped both work."""
    first = start_stack()
    first.until("^ready: ")
    second = start_stack(first.root)
    assert second.ended() == 1
    running = f"devstack: A stack is running in {first.root} (pid {first.process.pid})"
    assert second.lines == [f"{running}: stop it, or set STACK_DIR to another directory."]
    assert _clean(first).returncode == 1
    assert first.root.exists()
    first.stop()
    assert _clean(first).returncode == 0
    assert not first.root.exists()


def test_two_stacks_run_side_by_side(start_stack: Start, tmp_path: Path) -> None:
    """With directories and ports of their own they do not meet."""
    first, second = start_stack(tmp_path / "one"), start_stack(tmp_path / "two")
    first.until("^ready: ")
    second.until("^ready: ")
    assert first.fact("database-url") != second.fact("database-url")
    first.stop()
    assert second.processes()
    with psycopg.connect(second.fact("database-url")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def _clean(stack: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "devstack", "clean"], env=stack.env, check=False, capture_output=True)


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)
