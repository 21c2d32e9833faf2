"""Servers that a test takes away and brings back, at the same address."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from devstack import servers
from devstack.ports import free_port


class Server:
    """A PostgreSQL or Valkey of the test's own; `up` and `down` block until it is so."""

    def __init__(self, run: Any, find_pid: Callable[[str], int], directory: Path) -> None:
        self._run = run
        self._find_pid = find_pid
        self._directory = directory
        self._port = free_port()
        self._running: AbstractContextManager[str] | None = None
        self._pid = 0
        self.url = ""

    def up(self) -> None:
        self._running = self._run(self._directory, port=self._port)
        self.url = self._running.__enter__()
        self._pid = self._find_pid(self.url)

    @property
    def is_up(self) -> bool:
        return self._running is not None

    def down(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.__exit__(None, None, None)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server's processes, which then neither answer nor refuse."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        pids = [self._pid, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def valkey(directory: Path) -> Server:
    def find_pid(url: str) -> int:
        with Redis.from_url(url) as client:
            return client.info("server")["process_id"]

    return Server(servers.valkey, find_pid, directory)


def postgres(directory: Path) -> Server:
    def find_pid(url: str) -> int:
        with psycopg.connect(url) as connection:
            backend = Path(f"/proc/{connection.info.backend_pid}/status").read_text()
        return int(backend.partition("\nPPid:")[2].split()[0])

    return Server(servers.postgres, find_pid, directory)
