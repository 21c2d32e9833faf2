"""The events of all of a wallet's orders on a socket: where they stand, then what comes."""

from datetime import datetime, timedelta

from engine_api.order_book import OrderBook, WalletName
from engine_api.streams.follower import CLOCK_SKEW_S, least_id, wallet_follower
from engine_api.streams.mailbox import Update
from engine_api.streams.outlet import Outlet
from engine_common.orders import Event


async def stream_wallet(
    outlet: Outlet, orders: OrderBook, wallet: WalletName, since: datetime | None, margin_s: float
) -> None:
    """Send the latest event of each unfinished order, or of each order changed since, then all events as they come.

    Raises TooSlow; returns never.
    """
    changed_since = None if since is None else since - timedelta(seconds=CLOCK_SKEW_S)
    follower = wallet_follower(wallet, margin_s)
    async with outlet.opened(follower):
        # Before the state is read: what is there now and not in the state has finished, and is no news.
        recent = await orders.new_wallet_orders({wallet: least_id(follower.opened_at, margin_s)})
        follower.older = frozenset(order_id for _, order_id in recent)
        async for events in orders.wallet_state(wallet, changed_since):
            for event in events:
                follower.progress.positions[event.order_id] = event.seq
            await outlet.send(follower, (Update.of(event) for event in events if _is_news(event, changed_since)))
        follower.certain_until = follower.opened_at
        while True:
            await outlet.forward(follower)


def _is_news(event: Event, since: datetime | None) -> bool:
    """Tell whether the event is to be sent: with `since`, unfinished orders are read whether they changed or not."""
    return since is None or event.at >= since
