"""A socket as the hub sees it: what it follows, how far it has come, and where its updates are put."""

import time
from uuid import UUID

from engine_api.order_book import WalletName
from engine_api.streams.mailbox import Mailbox
from engine_api.streams.progress import Progress
from engine_common import live


class Follower:
    """Follows one order, or all orders of a wallet."""

    def __init__(self, channel: str, wallet: WalletName | None = None) -> None:
        self.channel = channel
        self.wallet = wallet
        self.opened_at = time.time()
        self.mailbox = Mailbox()
        self.progress = Progress()
        # Of a wallet: until when (Unix time) it is certain that no new order was missed; None before the first read.
        self.certain_until: float | None = None
        # Recent orders that were there before the socket came: not new, even if it was told nothing of them.
        self.older: frozenset[UUID] = frozenset()


def order_follower(order_id: UUID, after: int) -> Follower:
    """Return the follower of an order's events above the given `seq`."""
    follower = Follower(live.order_channel(order_id))
    follower.progress.positions[order_id] = after
    return follower


def wallet_follower(wallet: WalletName) -> Follower:
    """Return the follower of all orders of a wallet."""
    return Follower(live.wallet_channel(*wallet), wallet)
