"""A socket as the hub sees it: what it follows, how far it has come, and where its updates are put."""

import time
from uuid import UUID

from engine_api.order_book import WalletName
from engine_api.streams.mailbox import Mailbox
from engine_api.streams.progress import Progress
from engine_common import live

# Seconds by which an order may be stored later than its id says: the time of an insert, and clocks that differ.
MARGIN_S = 5.0


def least_id(moment: float) -> UUID:
    """Return the least id that an order made at the moment (Unix time), less the margin, can have."""
    return UUID(int=max(int((moment - MARGIN_S) * 1000), 0) << 80)


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

    def meet(self, order_id: UUID) -> None:
        """Begin at its beginning with an order that is new since the socket came, whichever event is heard first."""
        if self.progress.knows(order_id) or self.certain_until is None or order_id in self.older:
            return
        if order_id >= least_id(self.certain_until):
            self.progress.positions[order_id] = 0


def order_follower(order_id: UUID, after: int) -> Follower:
    """Return the follower of an order's events above the given `seq`."""
    follower = Follower(live.order_channel(order_id))
    follower.progress.positions[order_id] = after
    return follower


def wallet_follower(wallet: WalletName) -> Follower:
    """Return the follower of all orders of a wallet."""
    return Follower(live.wallet_channel(*wallet), wallet)
