"""Finding in PostgreSQL what sockets have missed: one read for all of them, however many there are."""

import time
from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from engine_api.order_book import OrderBook, WalletName
from engine_api.streams.follower import Follower, least_id
from engine_api.streams.mailbox import Update

_MAX_EVENTS = 10_000


class CatchingUp:
    """Reads what followers have missed and puts it into their mailboxes."""

    def __init__(self, orders: OrderBook) -> None:
        self._orders = orders

    async def read(self, followers: Collection[Follower]) -> bool:
        """Bring the followers up to date; return whether it was all of them, completely.

        Those that still have something to send, or have not begun yet, have their turn another time.
        """
        idle = [follower for follower in followers if follower.mailbox.empty]
        begun = time.time()
        wallets = [follower for follower in idle if follower.wallet is not None and follower.certain_until is not None]
        await self._find_new_orders(wallets)
        complete = await self._read_events(idle)
        for follower in wallets:
            follower.certain_until = begun
            follower.progress.forget_finished()
            if begun > follower.opened_at + 2 * follower.margin_s:  # no read goes back as far any more
                follower.older = frozenset()
        return complete and len(idle) == len(followers)

    async def _find_new_orders(self, followers: Collection[Follower]) -> None:
        """Let the followers of wallets know of orders of which they have not heard at all, from their beginning."""
        of_wallet: defaultdict[WalletName, list[Follower]] = defaultdict(list)
        least: dict[WalletName, UUID] = {}
        for follower in followers:
            if follower.wallet is None or follower.certain_until is None:
                continue
            of_wallet[follower.wallet].append(follower)
            begins = least_id(follower.certain_until, follower.margin_s)
            least[follower.wallet] = min(begins, least.get(follower.wallet, begins))
        if not least:
            return
        for wallet, order_id in await self._orders.new_wallet_orders(least):
            for follower in of_wallet[wallet]:
                follower.meet(order_id)

    async def _read_events(self, followers: Collection[Follower]) -> bool:
        positions: dict[UUID, int] = {}
        interested: defaultdict[UUID, list[Follower]] = defaultdict(list)
        for follower in followers:
            for order_id, seq in follower.progress.positions.items():
                positions[order_id] = min(seq, positions.get(order_id, seq))
                interested[order_id].append(follower)
        if not positions:
            return True
        events = await self._orders.missed(positions, _MAX_EVENTS)
        full: set[Follower] = set()
        for event in events:
            update = Update.of(event)
            for follower in interested[event.order_id]:
                if follower.mailbox.roomy:
                    follower.mailbox.put(update)
                else:
                    full.add(follower)
        return not full and len(events) < _MAX_EVENTS
