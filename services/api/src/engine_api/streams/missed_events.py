"""Reading what sockets have missed of one order: once for all that miss the same, as followers of one wallet do."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from engine_api.order_book import OrderBook
from engine_common.orders import Event


class MissedEvents:
    """Shares reads that are under way: a crowd that hears two events in the wrong order would read once each."""

    def __init__(self, orders: OrderBook) -> None:
        self._orders = orders
        self._under_way: dict[tuple[UUID, int], asyncio.Task[list[Event]]] = {}

    async def read(self, order_id: UUID, after: int, heard: int) -> Sequence[Event]:
        """Return the order's events above `after`, the one that was heard included.

        Raises what the read raises.
        """
        events = await asyncio.shield(self._shared(order_id, after))
        if events and events[-1].seq >= heard:
            return events
        # That read had begun before the event was stored.
        return await self._orders.events_after(order_id, after)

    def _shared(self, order_id: UUID, after: int) -> asyncio.Task[list[Event]]:
        key = order_id, after
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._orders.events_after(order_id, after))
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: tuple[UUID, int], task: asyncio.Task[list[Event]]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at, in case that everybody who waited has left
