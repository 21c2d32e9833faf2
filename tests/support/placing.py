"""Orders placed as the api places them, and what became of them."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from engine_common import queue
from engine_common.orders import Event, Order
from engine_common.store import creation, reading
from engine_common.store.pool import Pool
from support.orders import TRACEPARENT, new_order, read
from support.waiting import eventually


async def place(pool: Pool, count: int = 1, **changes: Any) -> list[UUID]:
    """Store orders that are to be executed, without telling any worker."""
    orders = [new_order(**changes) for _ in range(count)]
    async with pool.connection() as connection:
        await creation.create(connection, orders)
    return [order.id for order in orders]


async def announce(redis_url: str, ids: Sequence[UUID]) -> None:
    """Send the messages that ask the workers to execute the orders."""

    def send() -> None:
        broker = queue.make_sender(redis_url)
        for first in range(0, len(ids), queue.MAX_IDS):
            broker.enqueue(queue.execution_message(ids[first : first + queue.MAX_IDS], TRACEPARENT))
        broker.close()

    await asyncio.to_thread(send)


async def read_all(pool: Pool, ids: Sequence[UUID]) -> list[Order]:
    async with pool.connection() as connection:
        return [await read(connection, order_id) for order_id in ids]


async def all_finished(pool: Pool, ids: Sequence[UUID], within_s: float = 60) -> list[Order]:
    """Wait until the orders are terminal and return them."""

    async def finished() -> list[Order] | None:
        orders = await read_all(pool, ids)
        return orders if all(order.terminal for order in orders) else None

    return await eventually(finished, within_s)


async def histories(pool: Pool, ids: Sequence[UUID]) -> list[list[Event]]:
    """Return every order's events; their seqs are without gaps."""
    async with pool.connection() as connection:
        found = [await reading.read_events(connection, order_id) for order_id in ids]
    for events in found:
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return found
