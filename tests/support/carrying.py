"""An engine's orders without any execution: claimable until claimed, carried until the test lets them go."""

import asyncio
from uuid import UUID

from engine_common.orders import Order
from engine_common.transitions import Status
from engine_worker.engine import Engine
from support.orders import new_id, stored_order


class Carrying:
    """What the engine runs in place of an execution: holds the order until the test lets it go."""

    def __init__(self, order: Order, log: "Orders") -> None:
        self.order = order
        self.ended = False
        self._log = log
        self._done = asyncio.Event()

    async def run(self) -> None:
        self._log.started.append((self.order.id, self.order.lease_epoch))
        self._log.running.append(self)
        self._log.most = max(self._log.most, len(self._log.running))
        try:
            await self._done.wait()
            if self._log.failure:
                raise self._log.failure
        except asyncio.CancelledError:
            await asyncio.sleep(self._log.letting_go_takes_s)
            raise
        finally:
            self.ended = True
            self._log.running.remove(self)

    def finish(self) -> None:
        self._done.set()


class Orders:
    """Every order there is, claimable until somebody claims it; claims and reads take their time."""

    def __init__(self, count: int, takes_s: float = 0.01) -> None:
        self.free = [new_id() for _ in range(count)]
        self.epochs: dict[UUID, int] = {}
        self.takes_s = takes_s
        self.asked: list[UUID] = []
        self.started: list[tuple[UUID, int]] = []
        self.running: list[Carrying] = []
        self.most = 0
        self.letting_go_takes_s = 0.0
        self.failure: Exception | None = None
        self.finished: set[UUID] = set()

    def engine(self, max_in_flight: int = 10) -> Engine:
        return Engine(self, lambda order: Carrying(order, self), max_in_flight)

    def _take(self, order_id: UUID) -> Order:
        self.free.remove(order_id)
        self.epochs[order_id] = self.epochs.get(order_id, 0) + 1
        return self._order(order_id)

    def _order(self, order_id: UUID) -> Order:
        status = Status.CONFIRMED if order_id in self.finished else Status.QUEUED
        return stored_order(id=order_id, lease_epoch=self.epochs[order_id], status=status)

    async def claim(self, order_id: UUID) -> Order | None:
        self.asked.append(order_id)
        await asyncio.sleep(self.takes_s)
        return self._take(order_id) if order_id in self.free else None

    async def sweep(self, room: int) -> list[Order]:
        await asyncio.sleep(self.takes_s)
        return [self._take(order_id) for order_id in self.free[:room]]

    async def read_owned(self) -> dict[UUID, int]:
        await asyncio.sleep(self.takes_s)
        return dict(self.epochs)

    async def read_own(self, order_id: UUID) -> Order | None:
        await asyncio.sleep(self.takes_s)
        return self._order(order_id) if order_id in self.epochs else None

    def finish(self, count: int) -> None:
        for carrying in self.running[:count]:
            carrying.finish()
