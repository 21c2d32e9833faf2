"""The system under load: a stack of our own, started and stopped here, or one that runs already."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devstack import children
from devstack.children import Child, Program
from devstack.layout import Layout
from devstack.ports import free_port

SEED = 1
_READY_WITHIN_S = 90.0
_STOPPED_WITHIN_S = 20.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Ours alone is loaded with thousands of orders, whatever the environment says where others are.
_FOREIGN = ("DATABASE_URL", "REDIS_URL", "DEX_URL", "API_KEYS", "API_KEYS_FILE")


class SystemFault(Exception):
    """The system cannot be measured: its text is one clear sentence."""


@dataclass(frozen=True)
class System:
    """Where the parts of a running stack are found."""

    layout: Layout
    host: str
    port: int
    database_url: str
    dex_url: str
    admin_token: str

    @property
    def api_url(self) -> str:
        """The address of the api."""
        return f"http://{self.host}:{self.port}"


def running(directory: Path, api_url: str | None) -> System:
    """Return the stack that runs in the directory; `api_url` is another address of its api.

    Raises SystemFault.
    """
    layout = Layout(directory)
    facts: dict[str, str] = {}
    for name in ("database-url", "dex-url", "admin-token", "api-url"):
        fact = layout.fact(name)
        if fact is None:
            raise SystemFault(f"No stack is running in {layout.root}: {name} is missing in its run directory.")
        facts[name] = fact
    host, port = _address(api_url or facts["api-url"])
    for name in ("database-url", "dex-url"):
        _address(facts[name])
    return System(layout, host, port, facts["database-url"], facts["dex-url"], facts["admin-token"])


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.hostname not in _LOOPBACK or parts.port is None:
        raise SystemFault(f"{parts.hostname}:{parts.port} is not on this machine: only loopback is put under load.")
    return parts.hostname, parts.port


@contextmanager
def started(settings: Mapping[str, str]) -> Generator[System]:
    """Run a stack of our own in a temporary directory and on free ports, with these settings for its processes.

    The directory stays when something goes wrong, because its logs tell what. Raises SystemFault.
    """
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    child = children.start(_program(settings, directory), directory / "up.log")
    useful = True
    try:
        _wait_until_ready(child)
        yield running(directory, None)
        useful = False
    finally:
        child.stop(_STOPPED_WITHIN_S)
        if useful:
            sys.stderr.write(f"the stack's logs stay in {directory / 'logs'}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _program(settings: Mapping[str, str], directory: Path) -> Program:
    inherited = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    own = {
        "STACK_DIR": str(directory),
        "API_PORT": str(free_port()),
        "MOCKDEX_PORT": str(free_port()),
        "MOCK_DEX_SEED": str(SEED),
    }
    return Program(
        name="stack",
        argv=[sys.executable, "-m", "devstack", "up"],
        env={**inherited, **own, **settings},
        death_signal=signal.SIGTERM,  # it stops by itself when the benchmarks are killed
    )


def _wait_until_ready(child: Child) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while "ready: " not in child.log.read_text():
        if child.wait(0.05) or time.monotonic() > deadline:
            raise SystemFault(f"The stack does not come up; it said:\n{child.log.read_text().strip()}")
