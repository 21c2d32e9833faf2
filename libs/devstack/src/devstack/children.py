"""Child processes: started in sessions of their own, bound to the life of this process, stopped with a deadline."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from devstack import launcher
from devstack.accounts import Account
from devstack.faults import DiskFull, ProcessFailed, tail

# The kernel sends the death signal when the *thread* that forked ends: so one thread forks all children, and it
# lives as long as the process.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-forker")
_POLL_S = 0.02
_FORCE_PATIENCE_S = 1.0


def _ready(_pid: int) -> bool:
    return True


@dataclass(frozen=True)
class Program:
    """What to run, and how it wants to be stopped."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None
    account: Account | None = None
    ready: Callable[[int], bool] = _ready  # told the pid, lest another program's answer be taken for this one's
    address: str = ""  # for people
    stage: int = 0  # of a stack's programs those of the highest stage are stopped first
    stop_patience_s: float = 1.0
    stop_signal: signal.Signals = signal.SIGTERM
    force_signal: signal.Signals = signal.SIGKILL  # when it did not stop in time
    death_signal: signal.Signals = signal.SIGKILL  # when this process died without stopping it


class Child:
    """A running program and its log."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.program = program
        self.pid = process.pid
        self.log = log
        self.log_start = log_start
        self._process = process

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the program runs."""
        return self._process.poll()

    @property
    def is_ready(self) -> bool:
        """Whether the program does its work."""
        return self.program.ready(self.pid)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the program's end and tell whether it came in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone; nothing happens when it has ended."""
        self._process.send_signal(number)

    def kill_rest(self) -> None:
        """Kill what is left of the session's process group, as a container's end would."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self, patience_s: float) -> None:
        """Ask the program to end, force it after the patience, and leave nothing of its process group behind."""
        stop([self], patience_s)


def start(program: Program, log: Path) -> Child:
    """Start a program with its output appended to the log.

    Raises OSError when the log cannot be written or this machine has no room for another process.
    """
    drop = (str(program.account.uid), str(program.account.gid)) if program.account else ("-", "-")
    shim = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), str(int(program.death_signal)), *drop]
    with log.open("ab") as output:
        log_start = output.tell()
        process = _forker.submit(
            subprocess.Popen,
            [*shim, *program.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=program.cwd,
            env=dict(program.env),
            start_new_session=True,
        ).result()
    return Child(program, process, log, log_start)


def stop(children: Sequence[Child], patience_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
    """Stop several programs at once; those that outlast the patience, or are there when `hurry` says so, are forced."""
    deadline = time.monotonic() + patience_s
    for child in children:
        child.send(child.program.stop_signal)
    while any(child.exit_code is None for child in children) and time.monotonic() < deadline and not hurry():
        time.sleep(_POLL_S)
    for child in children:
        child.send(child.program.force_signal)  # nothing happens to those that have ended
    for child in children:
        if not child.wait(_FORCE_PATIENCE_S):
            child.send(signal.SIGKILL)
            child.wait(None)
        child.kill_rest()


def run_to_end(program: Program, log: Path) -> None:
    """Run a program that ends by itself.

    Raises DiskFull or ProcessFailed, with the tail of its log, when it fails.
    """
    child = start(program, log)
    try:
        child.wait(None)
    finally:
        child.stop(1.0)
    if child.exit_code != 0:
        raise failure(child)


def how_it_ended(child: Child) -> str:
    """Say in words how a program ended."""
    code = child.exit_code
    return f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"


def failure(child: Child) -> ProcessFailed | DiskFull:
    """Return the fault that a program's end amounts to, told by its log."""
    said = tail(child.log, start=child.log_start)
    if "No space left on device" in said:
        return DiskFull(f"{child.program.name} failed because the disk that holds {child.log.parent} is full.")
    return ProcessFailed(
        f"{child.program.name} {how_it_ended(child)}; the end of {child.log}:\n{said or '(it wrote nothing)'}"
    )
