import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from redis import Redis

Start = Callable[..., Any]  # returns a RunningStack of conftest.py
ALL = {"postgres", "valkey", "mockdex", "api", "api-2", "worker-1", "worker-2"}


def test_up_says_ready_on_a_line_of_its_own_and_leaves_its_facts(shared_stack: Any) -> None:
    """What others need to find the stack stands in run/, secrets for their owner alone."""
    stack = shared_stack
    assert f"ready: http://127.0.0.1:{stack.env['API_PORT']}" in stack.lines
    assert {file.stem for file in (stack.root / "run").glob("*.pid")} == ALL
    assert {file.stem for file in (stack.root / "logs").glob("*.log")} == ALL | {"initdb", "migrate"}
    for secret in ("run/database-url", "run/admin-token", "data/wallet-key"):
        assert stat.S_IMODE((stack.root / secret).stat().st_mode) == 0o600
    assert stack.fact("api-url") == f"http://127.0.0.1:{stack.env['API_PORT']}"
    assert stack.fact("dex-url") == f"http://127.0.0.1:{stack.env['MOCKDEX_PORT']}"
    assert _orders_in(stack.fact("database-url")) == 0
    with Redis.from_url(stack.fact("redis-url")) as client:
        assert client.ping()


def test_settings_of_services_pass_through(shared_stack: Any) -> None:
    """Any variable that devstack does not know is the services' own."""
    for name in ("api", "worker-1", "mockdex"):
        assert "ANY_SETTING=17" in (shared_stack.root / "logs" / f"{name}.log").read_text()


@pytest.mark.parametrize("name", ["postgres", "valkey", "mockdex", "api", "worker-1"])
def test_a_process_that_dies_is_started_again(shared_stack: Any, name: str) -> None:
    """As a pod would be, and under the same address."""
    stack = shared_stack
    killed = stack.pid(name)
    os.kill(killed, signal.SIGKILL)
    stack.until(rf"^{name} +ready again")
    assert stack.pid(name) != killed
    assert _orders_in(stack.fact("database-url")) == 0


def test_the_children_of_a_killed_process_go_with_it(shared_stack: Any) -> None:
    """As when a container's first process is killed: no orphan goes on working beside its successor."""
    stack = shared_stack
    killed = stack.pid("worker-2")
    family = {pid for pid in stack.processes() if os.getpgid(pid) == killed}
    assert len(family) == 2
    os.kill(killed, signal.SIGKILL)
    stack.until("^worker-2 +ready again")
    assert not family & stack.processes()


def test_a_second_stack_in_the_same_directory_is_refused(shared_stack: Any, start_stack: Start) -> None:
    """And so is removing the directory under a running stack."""
    second = start_stack(shared_stack.root)
    assert second.ended() == 1
    running = f"devstack: A stack is running in {shared_stack.root} (pid {shared_stack.process.pid})"
    assert second.lines == [f"{running}: stop it, or set STACK_DIR to another directory."]
    cleaning = _clean(shared_stack)
    assert cleaning.returncode == 1
    assert cleaning.stderr.decode().startswith(running)
    assert (shared_stack.root / "data").exists()


def test_a_taken_port_is_named_with_its_owner_and_the_variable_to_change(shared_stack: Any, start_stack: Start) -> None:
    """One sentence that says what to do."""
    port, owner = shared_stack.env["MOCKDEX_PORT"], shared_stack.pid("mockdex")
    stack = start_stack(MOCKDEX_PORT=port)
    assert stack.ended() == 1
    (line,) = stack.lines
    assert line.startswith(f"devstack: Port {port} is taken by ")
    assert line.endswith(f" (pid {owner}): stop it, or set MOCKDEX_PORT to another port.")


def test_stopping_ends_those_too_who_do_not_want_to(start_stack: Start, shared_stack: Any) -> None:
    """Services that ignore SIGTERM are killed with their children; another stack does not notice."""
    stubborn = {"STANDIN_STUBBORN": "engine_api engine_worker mockdex", "STANDIN_FORKING": "engine_worker"}
    stack = start_stack(**stubborn)
    stack.until("^ready: ")
    assert stack.fact("database-url") != shared_stack.fact("database-url")
    assert stack.stop() == 0
    assert stack.processes() == set()
    assert [file.name for file in (stack.root / "run").iterdir()] == ["lock"]
    assert _clean(stack).returncode == 0
    assert not stack.root.exists()
    assert _orders_in(shared_stack.fact("database-url")) == 0


def test_a_stop_while_coming_up_ends_everything(start_stack: Start) -> None:
    """Ctrl-C works at any time, during initdb too."""
    stack = start_stack()
    stack.until("^postgres  making")
    assert stack.stop(signal.SIGINT) == 0
    assert stack.processes() == set()


def test_a_process_that_keeps_dying_is_reported_with_its_log(start_stack: Start) -> None:
    """The stack gives up, says why in the process's own words and where there is more, and leaves nothing behind."""
    stack = start_stack(STANDIN_DYING="mockdex")
    assert stack.ended() == 1
    assert f"devstack: mockdex ended with code 1; the end of {stack.root}/logs/mockdex.log:" in stack.output
    assert "mockdex has a reason to die" in stack.output
    assert "Traceback" not in stack.output
    assert stack.processes() == set()


def test_data_and_keys_survive_a_killed_supervisor(start_stack: Start) -> None:
    """After SIGKILL the kernel ends the stack; the same directory and ports serve the same data again at once."""
    first = start_stack(STANDIN_STUBBORN="engine_worker", STANDIN_FORKING="engine_worker")
    first.until("^ready: ")
    old = first.processes()
    wallet = (first.root / "data" / "wallet-key").read_text()
    with psycopg.connect(first.fact("database-url"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.process.kill()
    first.ended()
    ports = {name: first.env[name] for name in ("API_PORT", "MOCKDEX_PORT")}
    second = start_stack(first.root, **ports)
    second.until("^postgres +ready")
    assert not old & second.processes()
    with psycopg.connect(second.fact("database-url")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert (second.root / "data" / "wallet-key").read_text() == wallet
    assert (second.root / "logs" / "api.log.previous").exists()


def test_servers_named_by_the_environment_are_used_instead_of_our_own(
    start_stack: Start, database_url: str, redis_url: str
) -> None:
    """DATABASE_URL and REDIS_URL replace the servers of the stack."""
    stack = start_stack(DATABASE_URL=database_url, REDIS_URL=redis_url)
    stack.until("^ready: ")
    assert {file.stem for file in (stack.root / "run").glob("*.pid")} == {"mockdex", "worker-1", "api"}
    assert stack.fact("database-url") == database_url
    assert stack.fact("redis-url") == redis_url
    stack.stop()


def _orders_in(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row
    return row[0]


def _clean(stack: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "devstack", "clean"], env=stack.env, check=False, capture_output=True)
