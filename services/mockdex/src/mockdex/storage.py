"""What the chain never forgets: SQLite in WAL mode, written by a thread of its own in groups."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    genesis TEXT NOT NULL,
    seed TEXT NOT NULL,
    height INTEGER NOT NULL,
    chain_ms INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    drawn TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS accepted (
    number INTEGER PRIMARY KEY,
    signature TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    last_valid_height INTEGER NOT NULL,
    fate INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS landed (
    number INTEGER PRIMARY KEY,
    signature TEXT NOT NULL UNIQUE,
    slot INTEGER NOT NULL,
    block_time INTEGER NOT NULL,
    error INTEGER,
    amount_out TEXT,
    record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS pools (key BLOB PRIMARY KEY, slot INTEGER NOT NULL, displacement TEXT NOT NULL);
"""
# A crash of the process loses nothing with synchronous=NORMAL in WAL mode; only a power loss may.
_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 2000")
_ACCEPT = "INSERT INTO accepted (number, signature, due_ms, last_valid_height, fate, record) VALUES (?, ?, ?, ?, ?, ?)"
_LAND = (
    "INSERT INTO landed (number, signature, slot, block_time, error, amount_out, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SETTLE = "DELETE FROM accepted WHERE number = ?"
_MOVE = (
    "INSERT INTO pools (key, slot, displacement) VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET slot = excluded.slot, displacement = excluded.displacement"
)
_GO_ON = "UPDATE chain SET height = ?, chain_ms = ?, next_number = ?, drawn = ? WHERE id = 1"


class DirectoryUnusable(Exception):
    """The chain cannot be kept in this directory: another process does, or the system will not have it."""


class Position(NamedTuple):
    """Where a chain is."""

    height: int
    chain_ms: int
    next_number: int
    """of the next transaction that is accepted"""
    drawn: str
    """numbers of random decisions, as JSON"""


class Stored(NamedTuple):
    """What a chain's row in storage says."""

    genesis: int
    """what its blockhashes are made of: the seed that it began with"""
    seed: int
    position: Position


@dataclass(slots=True)
class Changes:
    """What is committed together."""

    committed: asyncio.Future[None]
    accepted: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    landed: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    settled: list[tuple[int]] = field(default_factory=list[tuple[int]])
    pools: dict[bytes, tuple[bytes, int, str]] = field(default_factory=dict[bytes, tuple[bytes, int, str]])
    position: Position | None = None


class Storage:
    """Collects changes while a commit is under way and commits them together: an idle chain commits at once."""

    def __init__(self, directory: Path | None, on_failure: Callable[[BaseException], None]) -> None:
        self._temporary = TemporaryDirectory(prefix="mockdex-") if directory is None else None
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self._lock = _lock(self.directory)
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        try:
            self._writer, self._reader = _open(self.directory)
        except DirectoryUnusable:
            os.close(self._lock)
            raise
        self._reading = ThreadPoolExecutor(1, "storage-reader")
        self._waiting = Changes(self._loop.create_future())
        self.position: Callable[[], Position] | None = None
        """asked at every commit, so that what is stored together always agrees"""
        self.failed = False
        """nothing can be committed any more"""
        self._busy = False
        self._wanted = False
        self._queue: SimpleQueue[Changes | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="storage", daemon=True)
        self._thread.start()

    @property
    def changes(self) -> Changes:
        """What is written with the next commit: add to it, then call commit()."""
        return self._waiting

    def commit(self) -> asyncio.Future[None]:
        """Return a future of the commit of everything added so far."""
        if self._busy:
            self._wanted = True
        else:
            self._busy = True
            # Not at once: what this turn of the event loop adds besides belongs to the same group.
            self._loop.call_soon(self._flush)
        return self._waiting.committed

    async def read(self, sql: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Read committed rows."""
        return await self._loop.run_in_executor(self._reading, self.read_now, sql, tuple(parameters))

    def read_now(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read committed rows, blocking."""
        return self._reader.execute(sql, parameters).fetchall()

    def scan(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Read committed rows one by one, blocking."""
        return self._reader.execute(sql)

    def found(self, seed: int, start: Position) -> Stored:
        """Return the chain that is stored; found it if there is none. Blocks: for the start only."""
        self._writer.execute(
            "INSERT OR IGNORE INTO chain (id, genesis, seed, height, chain_ms, next_number, drawn)"
            " VALUES (1, ?, ?, ?, ?, ?, ?)",
            (str(seed), str(seed), *start),
        )
        rows = self.read_now("SELECT genesis, seed, height, chain_ms, next_number, drawn FROM chain")
        genesis, stored_seed, *position = rows[0]
        return Stored(int(genesis), int(stored_seed), Position(*position))

    def reseed(self, seed: int) -> None:
        """Keep another seed. Blocks: for the start only."""
        self._writer.execute("UPDATE chain SET seed = ?", (str(seed),))

    async def close(self) -> None:
        """Commit what is waiting, unless committing has failed, and close."""
        if not self.failed:
            await asyncio.wait((self.commit(),))
        self._queue.put(None)
        await self._loop.run_in_executor(self._reading, self._thread.join)
        self._reading.shutdown()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)
        if self._temporary:
            self._temporary.cleanup()

    def _flush(self) -> None:
        self._wanted = False
        changes, self._waiting = self._waiting, Changes(self._loop.create_future())
        changes.position = self.position() if self.position else None
        self._queue.put(changes)

    def _work(self) -> None:
        while (changes := self._queue.get()) is not None:
            error = None
            try:
                self._write(changes)
            except BaseException as caught:  # noqa: BLE001 - told to the event loop, which ends the process
                error = caught
            self._loop.call_soon_threadsafe(self._done, changes, error)

    def _write(self, changes: Changes) -> None:
        run, run_many = self._writer.execute, self._writer.executemany
        run("BEGIN IMMEDIATE")
        if changes.accepted:
            run_many(_ACCEPT, changes.accepted)
        if changes.landed:
            run_many(_LAND, changes.landed)
        if changes.settled:
            run_many(_SETTLE, changes.settled)
        if changes.pools:
            run_many(_MOVE, changes.pools.values())
        if changes.position:
            run(_GO_ON, changes.position)
        run("COMMIT")

    def _done(self, changes: Changes, error: BaseException | None) -> None:
        if error is not None:
            # What is not committed never happened: the process ends, and the next one goes on from what is stored.
            self.failed = True
            self._on_failure(error)
            changes.committed.set_exception(error)
            return
        self._busy = False
        changes.committed.set_result(None)
        if self._wanted:
            self.commit()


def _lock(directory: Path) -> int:
    """Take the directory for this process; raise DirectoryUnusable."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DirectoryUnusable(f"MOCK_DEX_DATA_DIR: {directory} cannot be used ({error.strerror}).") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise DirectoryUnusable(f"MOCK_DEX_DATA_DIR: another mock DEX keeps its chain in {directory}.") from None
    return descriptor


def _open(directory: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open the chain's file for writing and for reading; raise DirectoryUnusable."""
    connections: list[sqlite3.Connection] = []
    try:
        for _ in range(2):
            connection = sqlite3.connect(directory / "chain.db", isolation_level=None, check_same_thread=False)
            connections.append(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        for connection in connections:
            connection.close()
        raise DirectoryUnusable(f"MOCK_DEX_DATA_DIR: no chain can be kept in {directory} ({error}).") from None
    return connections[0], connections[1]
