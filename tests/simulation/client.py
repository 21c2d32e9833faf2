"""The api's part of a simulation: transitions that clients ask for, by the api's rule of at most five tries."""

from collections.abc import Callable
from uuid import UUID

import psycopg

from engine_common.orders import DEFAULT_ACCOUNT, EventType, Order
from engine_common.store import door, reading
from engine_common.store.door import Move, from_order
from engine_common.transitions import TRANSITIONS, Status
from simulation.adapters import WiredConnection
from simulation.model_database import ModelDatabase
from simulation.wire import Wire

_TRIES = 5
_ASKS_AGAIN_AFTER_S = 1.0


def _asked_for(order: Order, target: Status) -> Move:
    """Return the move that the api makes of the request."""
    if order.status is Status.SUBMITTED:
        return door.note(order, EventType.CANCEL_REQUESTED, {})
    # Only what a worker has begun is an attempt that ends here.
    begun = target is Status.CANCELLED and order.status in (Status.ROUTING, Status.BUILDING)
    return from_order(order, target, outcome="cancelled" if begun else None)


class Client:
    """Executes pending orders and cancels; a client whose question was not answered asks again, a few times."""

    def __init__(self, wire: Wire, database: ModelDatabase) -> None:
        self._wire = wire
        self._database = database

    async def execute(self, order_id: UUID, announce: Callable[[UUID], None]) -> None:
        """Queue the pending order, however often it takes."""
        while self._database.orders[order_id].status == Status.PENDING:
            if await self._move(order_id, Status.QUEUED):
                announce(order_id)
                return
            await self._wire.sleep(_ASKS_AGAIN_AFTER_S)

    async def cancel(self, order_id: UUID) -> None:
        """Cancel the order unless it is finished; of a submitted one the request is kept."""
        self._wire.world.counts["cancel: asked for"] += 1
        self._wire.world.tell("api", f"order {self._wire.world.number(order_id)}: the client cancels")
        cancelled = await self._move(order_id, Status.CANCELLED)
        self._wire.world.counts["cancel: won" if cancelled else "cancel: lost or unanswered"] += 1

    async def _move(self, order_id: UUID, target: Status) -> bool:
        for _ in range(_TRIES):
            try:
                async with WiredConnection(self._wire) as connection:
                    order = await reading.read_order(connection, DEFAULT_ACCOUNT, order_id)
                    if order is None or target not in TRANSITIONS[order.status] or order.cancel_requested_at:
                        return False
                    (moved,) = await door.move(connection, [_asked_for(order, target)])
            except psycopg.OperationalError:
                # Whether it was carried out is unknown: look again.
                continue
            if moved is not None:
                return True
        return False
