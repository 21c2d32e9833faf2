import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from devstack import servers
from devstack.accounts import server_account
from devstack.faults import ProcessFailed
from devstack.ports import free_port


def test_postgres_is_durable_and_serves_only_this_machine(tmp_path: Path) -> None:
    """The server acknowledges a commit only when it is on disk, listens on loopback alone and has room for a stack."""
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
    }
    with servers.postgres(tmp_path / "with a space") as url, psycopg.connect(url) as connection:
        found = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in expected}
    assert found == expected


def test_postgres_refuses_a_connection_without_the_password(tmp_path: Path) -> None:
    """Other users of the machine cannot read the orders."""
    with servers.postgres(tmp_path) as url:
        port = psycopg.conninfo.conninfo_to_dict(url)["port"]
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{port}/postgres")


def test_what_was_committed_survives_a_restart_on_another_port(tmp_path: Path) -> None:
    """The same directory gives the same data back."""
    with servers.postgres(tmp_path) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with servers.postgres(tmp_path, port=free_port()) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_killed_initdb_is_made_up_for(tmp_path: Path) -> None:
    """A half-made cluster is thrown away and made again."""
    (tmp_path / "pgdata.new").mkdir()
    (tmp_path / "pgdata.new" / "PG_VERSION").write_text("18\n")
    with servers.postgres(tmp_path) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_lock_file_with_the_pid_of_a_stranger_does_not_stop_the_start(tmp_path: Path) -> None:
    """After a crash of the machine the pid in postmaster.pid may belong to any other process."""
    with servers.postgres(tmp_path):
        pass
    (tmp_path / "pgdata" / "postmaster.pid").write_text(f"{os.getppid()}\n{tmp_path}\n0\n1\n\n127.0.0.1\n0 0\nready\n")
    with servers.postgres(tmp_path) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_valkey_serves_and_writes_nothing_to_disk(tmp_path: Path) -> None:
    """What Valkey holds is a hint: it has no persistence to wait for."""
    with servers.valkey(tmp_path) as url, Redis.from_url(url) as client:
        client.set("greeting", "hello")
        assert client.get("greeting") == b"hello"
        assert client.config_get("save", "appendonly", "bind") == {"save": "", "appendonly": "no", "bind": "127.0.0.1"}
    assert list((tmp_path / "valkey").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_root_runs_the_servers_as_somebody_else_below_a_closed_directory(tmp_path: Path) -> None:
    """No server runs as root, and directories above the stack keep their rights."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    account = server_account()
    assert account is not None
    with servers.postgres(closed / "pg") as url, servers.valkey(closed / "valkey") as redis_url:
        with psycopg.connect(url) as connection:
            assert _uid(connection.info.backend_pid) == account.uid
        with Redis.from_url(redis_url) as client:
            assert _uid(client.info("server")["process_id"]) == account.uid
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == 0


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The person sees the server's own words and where there are more."""
    with servers.valkey(tmp_path / "first") as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(ProcessFailed, match=r"(?s)valkey ended with code 1; the end of .*valkey\.log.*in use"):
            servers.valkey(tmp_path / "second", port=port).__enter__()


def test_the_servers_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves no server behind, whatever it did not get to clean up."""
    program = textwrap.dedent("""
        import signal, sys
        from pathlib import Path
        from devstack import servers
        import psycopg
        from redis import Redis
        with servers.postgres(Path(sys.argv[1], "pg")) as url, servers.valkey(Path(sys.argv[1], "valkey")) as redis_url:
            pid = Path(sys.argv[1], "pg", "pgdata", "postmaster.pid").read_text().splitlines()[0]
            print(pid, Redis.from_url(redis_url).info("server")["process_id"], flush=True)
            signal.pause()
    """)
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert [Path(f"/proc/{pid}").exists() for pid in pids] == [True, True]
        parent.send_signal(signal.SIGKILL)
    _wait_until(lambda: not any(_lives(pid) for pid in pids))
    with servers.postgres(tmp_path / "pg") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel's death signal follows threads; a server belongs to the process."""
    context = servers.valkey(tmp_path)
    urls: list[str] = []
    thread = threading.Thread(target=lambda: urls.append(context.__enter__()))
    thread.start()
    thread.join()
    try:
        with Redis.from_url(urls[0]) as client:
            assert client.ping()
    finally:
        context.__exit__(None, None, None)


def _uid(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(truth) -> None:
    deadline = time.monotonic() + 20
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.05)
