"""Sockets that miss the same events read them together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from engine_api.order_book import OrderBook
from engine_api.streams.missed_events import MissedEvents
from engine_common.orders import Event
from engine_common.store.pool import Connection, Pool
from engine_common.transitions import Status
from integration.api.running_api import RunningApi
from integration.api.worker_double import WorkerDouble


class Library:
    """Lends connections, counts that, and can make the next borrower wait with its connection in hand."""

    def __init__(self, pool: Pool) -> None:
        self.lent = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._pool = pool

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Connection]:
        self.lent += 1
        await self.may_go_on.wait()
        async with self._pool.connection() as connection:
            yield connection


async def test_a_crowd_that_misses_the_same_reads_once(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool
) -> None:
    """And each of them gets all of it."""
    order_id = await api.place()
    await worker.move(order_id, Status.ROUTING)
    library = Library(shared_pool)
    missed = MissedEvents(OrderBook(library.lend))
    heard = await asyncio.gather(*(missed.read(order_id, 0, 2) for _ in range(100)))
    assert library.lent == 1
    assert [[event.seq for event in events] for events in heard] == [[1, 2]] * 100
    assert [event.seq for event in await missed.read(order_id, 1, 2)] == [2]
    assert library.lent == 2


class Stale(OrderBook):
    """Answers its first read from before the last event."""

    reads = 0

    async def events_after(self, order_id: UUID, seq: int) -> list[Event]:
        self.reads += 1
        events = await super().events_after(order_id, seq)
        return events[:-1] if self.reads == 1 else events


async def test_a_read_that_began_too_early_is_not_believed(
    api: RunningApi, worker: WorkerDouble, shared_pool: Pool
) -> None:
    """An event that was heard is stored: whoever heard it does not go on without it."""
    order_id = await api.place()
    await worker.move(order_id, Status.ROUTING)
    orders = Stale(Library(shared_pool).lend)
    events = await MissedEvents(orders).read(order_id, 0, 2)
    assert [event.seq for event in events] == [1, 2]
    assert orders.reads == 2


async def test_who_leaves_takes_nobody_elses_read_along(api: RunningApi, shared_pool: Pool) -> None:
    """The first that asked may be the first to go."""
    order_id = await api.place()
    library = Library(shared_pool)
    library.may_go_on.clear()
    missed = MissedEvents(OrderBook(library.lend))
    first, second = [asyncio.create_task(missed.read(order_id, 0, 1)) for _ in range(2)]
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    library.may_go_on.set()
    assert [event.seq for event in await second] == [1]
    assert library.lent == 1
