"""PostgreSQL and Valkey as children of this process, for the stack and for tests.

    with servers.postgres(directory) as database_url, servers.valkey(other_directory) as redis_url:
        …

The directories may exist or not, lie anywhere and have any name; what is in them survives.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from devstack import children
from devstack.children import Child, Program
from devstack.faults import ProcessFailed
from devstack.ports import free_port
from devstack.postgres_server import Cluster
from devstack.valkey_server import Cache

_START_PATIENCE_S = 60.0
_STOP_PATIENCE_S = 5.0
_PORT_ATTEMPTS = 3


@contextmanager
def postgres(directory: Path, port: int | None = None) -> Generator[str]:
    """Run a PostgreSQL server with its data in `directory` and yield the URL of its database (role: superuser).

    Raises StackError in one of its forms.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "postgres.log"

    def program(chosen: int) -> tuple[Program, str]:
        cluster = Cluster(directory, chosen)
        cluster.prepare(lambda initdb: children.run_to_end(initdb, log))
        return cluster.program(), cluster.url

    with _running(program, port, log) as url:
        yield url


@contextmanager
def valkey(directory: Path, port: int | None = None) -> Generator[str]:
    """Run a Valkey server without persistence and yield its URL; `directory` gets its log.

    Raises StackError in one of its forms.
    """
    directory.mkdir(parents=True, exist_ok=True)

    def program(chosen: int) -> tuple[Program, str]:
        cache = Cache(directory / "valkey", chosen)
        return cache.program(), cache.url

    with _running(program, port, directory / "valkey.log") as url:
        yield url


@contextmanager
def _running(make: Callable[[int], tuple[Program, str]], port: int | None, log: Path) -> Generator[str]:
    child, url = _start(make, port, log)
    try:
        yield url
    finally:
        child.stop(_STOP_PATIENCE_S)


def _start(make: Callable[[int], tuple[Program, str]], port: int | None, log: Path) -> tuple[Child, str]:
    """Start a server; a free port that somebody else took meanwhile is exchanged for another."""
    attempts = 1 if port else _PORT_ATTEMPTS
    for attempt in range(1, attempts + 1):
        program, url = make(port or free_port())
        child = children.start(program, log)
        try:
            wait_until_ready(child)
        except ProcessFailed:
            if attempt == attempts:
                raise
        else:
            return child, url
    raise AssertionError("unreachable")


def wait_until_ready(child: Child) -> None:
    """Wait until a server answers; one that does not is stopped.

    Raises DiskFull or ProcessFailed.
    """
    deadline = time.monotonic() + _START_PATIENCE_S
    while not child.is_ready:
        if child.wait(0.02):
            child.kill_rest()
            raise children.failure(child)
        if time.monotonic() > deadline:
            child.stop(_STOP_PATIENCE_S)
            waited = f"{_START_PATIENCE_S:.0f} s"
            raise ProcessFailed(f"{child.program.name} did not answer within {waited}; see {child.log}.")
