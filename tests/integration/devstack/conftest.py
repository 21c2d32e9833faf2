import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.ports import free_port
from integration.devstack.restored import Chain

STANDINS = Path(__file__).parent / "standins"


class RunningStack:
    """A `python -m devstack up` whose services are stand-ins, and what it has printed so far."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.env = {
            **os.environ,
            "PYTHONPATH": str(STANDINS),
            "STACK_DIR": str(root),
            "API_PORT": str(free_port()),
            "MOCKDEX_PORT": str(free_port()),
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack", "up"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        """What was printed so far."""
        return "\n".join(self.lines)

    def until(self, pattern: str, timeout_s: float = 60) -> None:
        """Wait until a line was printed; fail when the stack ended without it."""
        wait_until(lambda: re.search(pattern, self.output, re.MULTILINE) or self.process.poll() is not None, timeout_s)
        assert re.search(pattern, self.output, re.MULTILINE), self.output

    def pid(self, name: str) -> int:
        """Read the pid of a process."""
        return int((self.root / "run" / f"{name}.pid").read_text())

    def fact(self, name: str) -> str:
        """Read a fact from run/."""
        return (self.root / "run" / name).read_text().strip()

    def processes(self) -> set[int]:
        """Every living process of this stack but its supervisor, told by its environment or its working directory."""
        mark = f"DEVSTACK_ROOT={self.root}".encode()
        found: set[int] = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                inside = (process / "cwd").resolve().is_relative_to(self.root)
                marked = mark in (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if inside or marked:
                found.add(int(process.name))
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(60)
        self._reader.join()
        return code

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.stop()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


def wait_until(truth: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not truth():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def chain() -> Chain:
    """Make an empty ledger."""
    return Chain()


@pytest.fixture
async def dex_url(chain: Chain) -> AsyncIterator[str]:
    """Serve the ledger."""
    application = web.Application()
    application.router.add_get("/ledger", chain.answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/"))


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., RunningStack]]:
    """Start stacks in the test's directory (`root` for another one) and stop them when the test ends."""
    stacks: list[RunningStack] = []

    def start(root: Path = tmp_path / "stack", **settings: str) -> RunningStack:
        stacks.append(RunningStack(root, **settings))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.close()


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run a stack for the tests that do not stop it: two apis, two workers that have a child each."""
    root = tmp_path_factory.mktemp("shared") / "a stack"
    stack = RunningStack(root, WORKERS="2", APIS="2", ANY_SETTING="17", STANDIN_FORKING="engine_worker")
    try:
        stack.until("^ready: ")
        yield stack
    finally:
        stack.close()
