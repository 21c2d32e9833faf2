"""Where a stack keeps its things: data, logs/NAME.log, run/NAME.pid and what others need to find it."""

import fcntl
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from devstack.faults import AlreadyRunning, DiskFull
from devstack.secret_files import write_secret

STACK_MARK = "DEVSTACK_ROOT"  # in the environment of every process of a stack: its directory
_NEEDED_MB = 200  # an empty cluster with its first write-ahead log, logs, and a little to work with


class Layout:
    """The directory of one stack."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.data = self.root / "data"
        self.logs = self.root / "logs"
        self.run = self.root / "run"

    def log(self, name: str) -> Path:
        """Return the log of a process."""
        return self.logs / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """Return the file that holds the pid of a process while it runs."""
        return self.run / f"{name}.pid"

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the directory for one stack; the kernel lets it go when this process ends, however it ends.

        Raises AlreadyRunning while another stack holds it.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        with (self.run / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise AlreadyRunning(
                    f"A stack is running in {self.root} (pid {holder}): stop it, or set STACK_DIR to another directory."
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def prepare(self) -> None:
        """Make the directories, and keep the logs of the previous run beside the new ones.

        Raises DiskFull when there is no room for a stack.
        """
        for directory in (self.data, self.logs, self.run):
            directory.mkdir(parents=True, exist_ok=True)
        free_mb = shutil.disk_usage(self.root).free // 2**20
        if free_mb < _NEEDED_MB:
            raise DiskFull(
                f"Only {free_mb} MB are free on the disk of {self.root} and a stack needs {_NEEDED_MB}: "
                "free some space, or set STACK_DIR to a directory on another disk."
            )
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.previous"))

    def publish(self, name: str, text: str) -> None:
        """Leave a fact about the running stack in run/NAME, for its owner alone."""
        write_secret(self.run / name, text)

    def fact(self, name: str) -> str | None:
        """Return a published fact, None where there is none."""
        with suppress(FileNotFoundError):
            return (self.run / name).read_text().strip()
        return None

    def withdraw(self, *names: str) -> None:
        """Remove published facts."""
        for name in names:
            (self.run / name).unlink(missing_ok=True)

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return a secret of this stack, made once and kept with its data."""
        path = self.data / name
        if not path.exists():
            write_secret(path, make())
        return path.read_text().strip()
