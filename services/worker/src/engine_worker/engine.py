"""The orders that this process carries: claimed up to a bound, each a coroutine, each at most once."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from engine_common.orders import Order
from engine_common.telemetry.logs import log
from engine_worker.execution import Execution, run_in_trace


class Claims(Protocol):
    """How orders become this worker's."""

    async def claim(self, order_id: UUID) -> Order | None:
        """Take the order if it is recoverable."""
        ...

    async def sweep(self, room: int) -> list[Order]:
        """Take up to `room` orders that nobody executes."""
        ...

    async def read_owned(self) -> dict[UUID, int]:
        """Return the unfinished orders that are this worker's and due, with their epochs."""
        ...

    async def read_own(self, order_id: UUID) -> Order | None:
        """Return the order as it stands, if it is this worker's."""
        ...


@dataclass(slots=True, eq=False)
class _Carried:
    epoch: int
    task: asyncio.Task[None]


class Engine:
    """Executes orders on the running event loop, at most `max_in_flight` at once."""

    def __init__(self, claims: Claims, make_execution: Callable[[Order], Execution], max_in_flight: int) -> None:
        self._claims = claims
        self._make_execution = make_execution
        self._max_in_flight = max_in_flight
        self._carried: dict[UUID, _Carried] = {}
        self._claiming: set[UUID] = set()
        # Carried at the last comparison, and not found there.
        self._absent: set[UUID] = set()
        self._sweeping = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        self._stopped = False

    @property
    def in_flight(self) -> int:
        """How many orders are carried or being claimed."""
        return len(self._carried) + len(self._claiming)

    @property
    def room(self) -> int:
        """How many more orders may be claimed."""
        return 0 if self._stopping else max(0, self._max_in_flight - self.in_flight - self._sweeping)

    async def accept(self, ids: Sequence[UUID], woken_by: str | None) -> None:
        """Claim and start the orders, in slices as room appears; return when all were, or the engine stops.

        What a stopping engine leaves is found by another worker's sweep.
        """
        waiting = list(ids)
        while waiting and not self._stopping:
            if not self.room:
                self._room.clear()
                await self._room.wait()
                continue
            accepted, waiting = waiting[: self.room], waiting[self.room :]
            await self._claim([order_id for order_id in accepted if order_id not in self._claiming], woken_by)

    async def _claim(self, ids: Sequence[UUID], woken_by: str | None) -> None:
        self._claiming.update(ids)
        try:
            claimed = await asyncio.gather(*(self._claims.claim(order_id) for order_id in ids))
        finally:
            self._claiming.difference_update(ids)
            self._room.set()
        for order in claimed:
            if order is not None:
                await self.carry(order, woken_by)

    async def carry(self, order: Order, woken_by: str | None = None) -> None:
        """Execute the order, unless this or a later lease of it is carried already; an earlier one is ended first.

        What a stopping engine had already asked for is carried like the rest, for as long as it has: nobody else can
        until it is released. Once it has stopped nothing is started any more.
        """
        # In a loop: while the earlier one ends, the same lease may come from another side and be carried.
        while (carried := self._carried.get(order.id)) is not None:
            if carried.epoch >= order.lease_epoch:
                return
            carried.task.cancel()
            await asyncio.wait((carried.task,))
        if self._stopped:
            return
        task = asyncio.get_running_loop().create_task(run_in_trace(self._make_execution(order), woken_by))
        self._carried[order.id] = _Carried(order.lease_epoch, task)
        task.add_done_callback(lambda ended: self._ended(order.id, ended))

    def _ended(self, order_id: UUID, task: asyncio.Task[None]) -> None:
        carried = self._carried.get(order_id)
        if carried is not None and carried.task is task:
            del self._carried[order_id]
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The order stays owned; the next comparison with PostgreSQL picks it up again.
            log.error("order.execution_died", order_id=str(order_id), exc_info=error)

    async def sweep(self) -> None:
        """Take what nobody executes, as far as there is room; a message that comes meanwhile gets none of it."""
        room = self.room
        if not room:
            return
        self._sweeping += room
        try:
            swept = await self._claims.sweep(room)
        finally:
            self._sweeping -= room
            self._room.set()
        for order in swept:
            await self.carry(order)

    async def compare(self) -> None:
        """Bring what this process carries in line with what is its own in PostgreSQL.

        Picks up what it does not carry, such as a claim whose reply was lost, and lets go of what it carries in vain,
        such as an order that was cancelled while it waited for a venue.
        """
        before = dict(self._carried)
        owned = await self._claims.read_owned()
        for order_id, epoch in owned.items():
            carried = self._carried.get(order_id)
            if order_id in self._claiming or (carried is not None and carried.epoch >= epoch):
                continue
            order = await self._claims.read_own(order_id)
            if order is not None and not order.terminal:
                await self.carry(order)
        absent = {order_id for order_id in before if order_id not in owned}
        # Twice, because what has just finished is about to end by itself.
        for order_id in absent & self._absent:
            await self._let_go_if_lost(order_id, before[order_id])
        self._absent = absent

    async def _let_go_if_lost(self, order_id: UUID, carried: _Carried) -> None:
        """End the execution of an order that is finished, or not ours any more; one that waits for a retry is."""
        if self._carried.get(order_id) is not carried:
            return
        order = await self._claims.read_own(order_id)
        if order is None or order.terminal or order.lease_epoch != carried.epoch:
            carried.task.cancel()

    async def stop(self, within_s: float) -> None:
        """Take nothing more, let what is carried finish in the given time, and end the rest."""
        self._stopping = True
        self._room.set()
        deadline = asyncio.get_running_loop().time() + within_s
        while self.in_flight and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._room.clear()
            try:
                async with asyncio.timeout(left):
                    await self._room.wait()
            except TimeoutError:
                break
        self._stopped = True
        tasks = [carried.task for carried in self._carried.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
