"""Everybody who follows by WebSocket during a run: orders, each to its end, and one wallet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp

from load.background import Background, stop
from load.followers import Event, Following, WalletFollowing, follow, follow_wallet

History = Callable[[str], Awaitable[Sequence[Event]]]


class Watch:
    """The followers of one run; `history` shows an order's events by REST."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], history: History) -> None:
        self.followings: list[Following] = []
        self.wallet = WalletFollowing()
        self.wallet_orders: list[str] = []
        self.followers = Background()
        self._session = session
        self._urls = urls
        self._history = history

    def follow(self, order_id: str) -> None:
        """Follow an order by WebSocket from now on, and compare in the end."""
        following = Following(order_id)
        self.followings.append(following)
        self.followers.begin(self._follow(following))

    async def _follow(self, following: Following) -> None:
        await follow(self._session, self._urls, following)
        following.compare(await self._history(following.order_id))

    @asynccontextmanager
    async def following_wallet(self) -> AsyncIterator[None]:
        """Follow the wallet meanwhile."""
        task = asyncio.create_task(follow_wallet(self._session, self._urls, self.wallet))
        try:
            yield
        finally:
            await stop(task)

    @property
    def refused_handshakes(self) -> list[str]:
        """Every attempt to open a socket that failed, with its reason."""
        return [each for following in (*self.followings, self.wallet) for each in following.refused_handshakes]

    @property
    def reconnections(self) -> int:
        """How often sockets were opened again."""
        return sum(max(0, following.connections - 1) for following in (*self.followings, self.wallet))

    def unseen(self) -> list[str]:
        """Return those of the wallet's orders whose terminal event has not come."""
        return self.wallet.unfinished(self.wallet_orders)

    def faults(self) -> list[str]:
        """Return what was wrong with what followers saw, when all is over."""
        for following in self.followings:
            if not following.ended:
                following.faults.append(f"its terminal event never came, the last seq was {len(following.seen)}")
        wrong = [f"order {each.order_id}: {fault}" for each in self.followings for fault in each.faults]
        wrong += [f"wallet: the terminal event of order {order_id} never came" for order_id in self.unseen()]
        return [*wrong, *self.wallet.faults]
