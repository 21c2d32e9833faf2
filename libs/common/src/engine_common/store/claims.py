"""Who executes an order: heartbeats, claims, the sweep and release. Ownership changes here, status never."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from engine_common.orders import Event, EventType, Order
from engine_common.store import statements
from engine_common.store.pool import Connection
from engine_common.store.reading import as_order


class Claimed(NamedTuple):
    """An order as its claim left it; `deserted`: its former owner had not released it, so that one died or hung."""

    order: Order
    deserted: bool


async def claim(connection: Connection, worker_id: UUID, ids: Sequence[UUID], lease_s: float) -> list[Claimed]:
    """Take those of the orders that are recoverable, and return them as they now stand."""
    cursor = await connection.execute(
        statements.CLAIM, {"worker_id": worker_id, "ids": list(ids), "lease_s": lease_s}, prepare=True
    )
    return [Claimed(as_order(row[:-1]), row[-1]) for row in await cursor.fetchall()]


async def sweep(connection: Connection, worker_id: UUID, room: int, lease_s: float) -> list[Claimed]:
    """Take up to `room` recoverable orders, oldest first.

    Those of the dead and the released at once, never claimed ones when they have been queued for 1 s.
    """
    cursor = await connection.execute(
        statements.SWEEP, {"worker_id": worker_id, "room": room, "lease_s": lease_s}, prepare=True
    )
    return [Claimed(as_order(row[:-1]), row[-1]) for row in await cursor.fetchall()]


def recovery_event(order: Order) -> Event | None:
    """Return the event that the claim of this order wrote; the first claim of an order writes none."""
    if order.lease_epoch <= 1:
        return None
    return Event(order.id, order.version, EventType.RECOVERED, order.status, None, order.attempt, order.updated_at, {})


async def read_owned(connection: Connection, worker_id: UUID) -> dict[UUID, int]:
    """Return the unfinished orders that the worker owns, with their lease epochs."""
    cursor = await connection.execute(statements.READ_OWNED, {"worker_id": worker_id})
    return dict(await cursor.fetchall())


async def release(connection: Connection, worker_id: UUID) -> int:
    """Give up every unfinished order that the worker owns, so that others take over at once; return how many."""
    cursor = await connection.execute(statements.RELEASE, {"worker_id": worker_id})
    return cursor.rowcount


async def beat(connection: Connection, worker_id: UUID, host: str) -> None:
    """Say that the worker lives; the time is the database's."""
    await connection.execute(statements.BEAT, {"worker_id": worker_id, "host": host})


async def forget_dead_workers(connection: Connection) -> None:
    """Remove heartbeats so old that nobody needs them any more."""
    await connection.execute(statements.FORGET_WORKERS)


async def sign_off(connection: Connection, worker_id: UUID) -> None:
    """Remove the heartbeat of a worker that has released everything."""
    await connection.execute(statements.FORGET_WORKER, {"worker_id": worker_id})
