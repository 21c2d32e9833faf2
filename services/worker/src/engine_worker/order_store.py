"""The store as a worker uses it: moves and claims in group commits, everything else one by one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from uuid import UUID

from engine_common.orders import Order
from engine_common.store import claims, door, reading
from engine_common.store.claims import Claimed
from engine_common.store.door import Move, Moved, SignedSwap
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import TROUBLE, Connection
from engine_worker import measurements
from engine_worker.ports import EventSink

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Lend = Callable[[], AbstractAsyncContextManager[Connection]]

_READ_AGAIN_AFTER_S = 0.5


class OrderStore:
    """PostgreSQL for one worker; the heart has connections of its own, so that no load delays the heartbeat."""

    def __init__(
        self, lend: Lend, lend_to_heart: Lend, worker_id: UUID, host: str, lease_s: float, events: EventSink
    ) -> None:
        self._lend = lend
        self._lend_to_heart = lend_to_heart
        self._worker_id = worker_id
        self._host = host
        self._lease_s = lease_s
        self._events = events
        self._moves = GroupCommit[Move, Moved | None](
            "moves",
            lend,
            door.move,
            key=lambda move: move.order_id,
            on_flush=lambda moves: measurements.record_batch("move", len(moves)),
        )
        self._claims = GroupCommit[UUID, Order | None](
            "claims",
            lend,
            self._claim_batch,
            key=lambda order_id: order_id,
            on_flush=lambda ids: measurements.record_batch("claim", len(ids)),
        )

    async def move(self, move: Move) -> Moved | None:
        """Carry out the move; None when it did not come back."""
        return await self._moves.submit(move)

    async def claim(self, order_id: UUID) -> Order | None:
        """Take the order if it is recoverable."""
        return await self._claims.submit(order_id)

    async def _claim_batch(self, connection: Connection, ids: Sequence[UUID]) -> list[Order | None]:
        claimed = await claims.claim(connection, self._worker_id, ids, self._lease_s)
        taken = {order.id: order for order in self._take_over(claimed)}
        return [taken.get(order_id) for order_id in ids]

    async def sweep(self, room: int) -> list[Order]:
        """Take up to `room` orders that nobody executes."""
        async with self._lend() as connection:
            swept = await claims.sweep(connection, self._worker_id, room, self._lease_s)
        orders = self._take_over(swept)
        measurements.record_swept(len(orders))
        return orders

    def _take_over(self, claimed: Sequence[Claimed]) -> list[Order]:
        """Return the orders, and tell the world of those that had another owner before."""
        for order, deserted in claimed:
            event = claims.recovery_event(order)
            if event is not None:
                self._events.publish(event, order.account, order.user_wallet)
                measurements.record_recovered(deserted=deserted)
        return [order for order, _ in claimed]

    async def read_owned(self) -> dict[UUID, int]:
        """Return the unfinished orders that are this worker's and due, with their epochs."""
        async with self._lend() as connection:
            return await claims.read_owned(connection, self._worker_id)

    async def read_own(self, order_id: UUID) -> Order | None:
        """Return the order as it stands, if it is this worker's; however long PostgreSQL takes to answer."""
        return await self._until_answered(lambda found: reading.read_own(found, self._worker_id, order_id))

    async def read_attempt(self, order_id: UUID, attempt: int) -> SignedSwap | None:
        """Return what the attempt committed to send; however long PostgreSQL takes to answer."""
        return await self._until_answered(lambda found: reading.read_attempt(found, order_id, attempt))

    async def _until_answered(self, read: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        while True:
            try:
                async with self._lend() as connection:
                    return await read(connection)
            except TROUBLE as error:
                log.warning("PostgreSQL did not answer, reading again: %s", error)
                await asyncio.sleep(_READ_AGAIN_AFTER_S)

    async def beat(self) -> None:
        """Say that this worker lives."""
        async with self._lend_to_heart() as connection:
            await claims.beat(connection, self._worker_id, self._host)

    async def sign_off(self) -> int:
        """Write what is still to be written, give up what is left, and return how many orders that were."""
        await self._moves.close()
        await self._claims.close()
        async with self._lend() as connection:
            released = await claims.release(connection, self._worker_id)
            await claims.sign_off(connection, self._worker_id)
            await claims.forget_dead_workers(connection)
        return released
