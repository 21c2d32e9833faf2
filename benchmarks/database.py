"""What PostgreSQL says of the orders, asked so that the answer costs next to nothing while the load runs."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

# Through the partial index of unfinished orders, from the oldest one on: what has finished is not even passed by.
_COUNT_UNFINISHED = """
SELECT count(*), (SELECT id FROM orders WHERE queued_at IS NOT NULL AND finished_at IS NULL AND id >= %(floor)s
                  ORDER BY id LIMIT 1)
FROM orders WHERE queued_at IS NOT NULL AND finished_at IS NULL AND id >= %(floor)s
"""

_COUNT_WINDOW = """
SELECT count(*) FILTER (WHERE status = 'confirmed' AND finished_at >= %(begin)s AND finished_at < %(end)s),
       count(*) FILTER (WHERE created_at >= %(begin)s AND created_at < %(end)s)
FROM orders WHERE id >= %(floor)s
"""

_COMPARE = """
SELECT coalesce(o.status, 'missing'), count(*), count(*) FILTER (WHERE o.finished_at IS NULL), max(o.finished_at),
       (array_agg(a.id) FILTER (WHERE o.finished_at IS NULL))[:5]
FROM unnest(%(ids)s::uuid[]) AS a (id) LEFT JOIN orders o USING (id)
GROUP BY 1
"""

_READ_ROUTING_TIMES = """
SELECT order_id, at FROM order_events WHERE order_id = ANY(%(ids)s::uuid[]) AND type = 'status' AND status = 'routing'
"""

_READ_FOOTPRINT = """
SELECT (SELECT json_object_agg(name, pg_total_relation_size(name::regclass))
        FROM unnest(ARRAY['orders', 'order_events', 'attempts']) name),
       (SELECT wal_bytes::float FROM pg_stat_wal),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
"""

_OPTIONS = "-c statement_timeout=60000 -c enable_seqscan=off -c jit=off"
# Ids are ordered by the time of their making, their commits nearly so: how far the two may be apart.
_DISORDER_S = 5.0
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Comparison:
    """What became of the orders that a client was told were accepted."""

    by_status: Mapping[str, int]
    missing: int
    unfinished: int
    examples: Sequence[UUID]
    last_finished_at: float

    @property
    def lost(self) -> int:
        """Orders that are not there, or got stuck on their way."""
        return self.missing + self.unfinished


@dataclass(frozen=True)
class Footprint:
    """What the orders take on disk, by table with its indexes, and what the server has written and committed so far."""

    tables: Mapping[str, int]
    wal_bytes: float
    commits: int


class Database:
    """One connection, for one question at a time; sees the orders that were made since it was opened."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._first = self._floor = first_id_at(time.time() - _DISORDER_S)

    async def unfinished(self) -> int:
        """Count the orders that are queued or under way."""
        cursor = await self._connection.execute(_COUNT_UNFINISHED, {"floor": self._floor}, prepare=True)
        count, oldest = (await cursor.fetchall())[0]
        if oldest is not None:
            self._floor = max(self._floor, first_id_at(made_at(oldest) - _DISORDER_S))
        return count

    async def until_finished(self, within_s: float) -> bool:
        """Wait until no order is unfinished, and tell whether that came in time."""
        deadline = time.monotonic() + within_s
        while await self.unfinished():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PAUSE_S)
        return True

    async def window(self, begin: float, end: float) -> tuple[int, int]:
        """Return how many orders were confirmed and how many accepted between two moments (seconds since 1970)."""
        parameters = {"begin": _moment(begin), "end": _moment(end), "floor": self._first}
        return (await (await self._connection.execute(_COUNT_WINDOW, parameters)).fetchall())[0]

    async def compare(self, ids: Sequence[bytes]) -> Comparison:
        """Look up what became of the orders."""
        cursor = await self._connection.execute(_COMPARE, {"ids": [UUID(each.decode()) for each in ids]})
        rows = await cursor.fetchall()
        by_status = {status: count for status, count, *_ in rows}
        finished = [last.timestamp() for _, _, _, last, _ in rows if last is not None]
        return Comparison(
            by_status=by_status,
            missing=by_status.get("missing", 0),
            unfinished=sum(row[2] for row in rows if row[0] != "missing"),
            examples=[each for row in rows for each in row[4] or ()],
            last_finished_at=max(finished, default=0.0),
        )

    async def footprint(self) -> Footprint:
        """Read how large everything is, in bytes. The log and the commits are the whole server's."""
        return Footprint(*(await (await self._connection.execute(_READ_FOOTPRINT)).fetchall())[0])

    async def checkpoint(self) -> None:
        """Have the server write everything to its tables. Needs a superuser."""
        await self._connection.execute("CHECKPOINT")

    async def routing_times(self, ids: Sequence[bytes]) -> dict[bytes, float]:
        """Return when each order began to be routed, in seconds since 1970."""
        cursor = await self._connection.execute(_READ_ROUTING_TIMES, {"ids": [UUID(each.decode()) for each in ids]})
        return {str(order_id).encode(): at.timestamp() for order_id, at in await cursor.fetchall()}


@asynccontextmanager
async def opened(database_url: str) -> AsyncGenerator[Database]:
    """Lend a database. Raises psycopg.Error."""
    connection = await AsyncConnection.connect(database_url, autocommit=True, connect_timeout=5, options=_OPTIONS)
    async with connection:
        yield Database(connection)


def first_id_at(moment: float) -> UUID:
    """Return the least UUIDv7 of a moment, in seconds since 1970."""
    return UUID(int=max(0, int(moment * 1000)) << 80)


def made_at(order_id: UUID) -> float:
    """Return when a UUIDv7 was made, in seconds since 1970."""
    return (order_id.int >> 80) / 1000


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
