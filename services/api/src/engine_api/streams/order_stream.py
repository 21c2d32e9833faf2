"""One order's events on a socket: what there is, then what comes, until the last."""

from uuid import UUID

from engine_api.order_book import OrderBook
from engine_api.problems import INVALID_PARAMETER, FieldError, invalid
from engine_api.streams.follower import order_follower
from engine_api.streams.mailbox import Update
from engine_api.streams.outlet import Outlet


async def stream_order(outlet: Outlet, orders: OrderBook, account: str, order_id: UUID, after: int) -> None:
    """Send all events of the account's order with a `seq` above `after`, and return after the last.

    Raises Refusal and TooSlow.
    """
    order = await orders.read(account, order_id)
    if after > order.version:
        raise invalid(INVALID_PARAMETER, [FieldError("after", f"is beyond the order's last event, {order.version}")])
    follower = order_follower(order_id, after)
    if order.terminal:
        await outlet.send(follower, map(Update.of, await orders.events_after(order_id, after)))
        return
    async with outlet.opened(follower):
        await outlet.send(follower, map(Update.of, await orders.events_after(order_id, after)))
        while follower.progress.positions:
            await outlet.forward(follower)
