"""A socket as the hub sees it: what it follows, how far it has come, and where its updates are put."""

import time
from uuid import UUID

from engine_api.order_book import WalletName
from engine_api.streams.mailbox import Mailbox
from engine_api.streams.progress import Progress
from engine_common import live
from engine_common.store.pool import STATEMENT_TIMEOUT_S

# Seconds by which the clocks of two apis, or of an api and PostgreSQL, may differ.
CLOCK_SKEW_S = 5.0


def id_margin_s(database_patience_s: float) -> float:
    """Return by how many seconds an order's row may be visible later than its id says.

    An id is minted when its request is read. The row is sent for up to DATABASE_PATIENCE_S, and a statement that was
    sent last may take as long as PostgreSQL lets it.
    """
    return database_patience_s + STATEMENT_TIMEOUT_S + CLOCK_SKEW_S


def least_id(moment: float, margin_s: float) -> UUID:
    """Return the least id of the orders whose rows may become visible from the moment (Unix time) on."""
    return UUID(int=max(int((moment - margin_s) * 1000), 0) << 80)


class Follower:
    """Follows one order, or all orders of a wallet."""

    def __init__(self, channel: str, wallet: WalletName | None = None, margin_s: float = 0.0) -> None:
        self.channel = channel
        self.margin_s = margin_s
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
        if order_id >= least_id(self.certain_until, self.margin_s):
            self.progress.positions[order_id] = 0


def order_follower(order_id: UUID, after: int) -> Follower:
    """Return the follower of an order's events above the given `seq`."""
    follower = Follower(live.order_channel(order_id))
    follower.progress.positions[order_id] = after
    return follower


def wallet_follower(wallet: WalletName, margin_s: float) -> Follower:
    """Return the follower of all orders of a wallet; `margin_s` is that of `id_margin_s`."""
    return Follower(live.wallet_channel(*wallet), wallet, margin_s)
