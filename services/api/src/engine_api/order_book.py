"""What clients read: orders and their histories, each visible only to the account that it belongs to."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from engine_api.problems import NOT_FOUND, Refusal
from engine_common.orders import Event, Order
from engine_common.store import creation, reading
from engine_common.store.creation import KeyTaken
from engine_common.store.pool import Connection

_STATE_PAGE = 1000

Lend = Callable[[], AbstractAsyncContextManager[Connection]]


class WalletName(NamedTuple):
    """A wallet of an account."""

    account: str
    name: str


class Filter(NamedTuple):
    """Which orders a page shows, and behind which of them it begins."""

    limit: int
    before: UUID | None = None
    wallet: str | None = None
    status: str | None = None
    order_type: str | None = None


class Page(NamedTuple):
    """Orders, newest first; `more`: others follow."""

    orders: Sequence[Order]
    more: bool


class OrderBook:
    """Reads orders over connections that it borrows for one read each."""

    def __init__(self, lend: Lend) -> None:
        self._lend = lend

    async def find(self, account: str, order_id: UUID) -> Order | None:
        """Return the account's order, if it has one of this id."""
        async with self._lend() as connection:
            return await reading.read_order(connection, account, order_id)

    async def read(self, account: str, order_id: UUID) -> Order:
        """Return the account's order. Raises Refusal."""
        order = await self.find(account, order_id)
        if order is None:
            raise unknown_order(order_id)
        return order

    async def find_by_key(self, account: str, key: str, fingerprint: bytes) -> KeyTaken | None:
        """Return the account's order that was created with this key, and whether the fingerprint is its own."""
        async with self._lend() as connection:
            return await creation.find_by_key(connection, account, key, fingerprint)

    async def history(self, account: str, order_id: UUID) -> list[Event]:
        """Return the events of the account's order, in order. Raises Refusal."""
        async with self._lend() as connection:
            if await reading.read_order(connection, account, order_id) is None:
                raise unknown_order(order_id)
            return await reading.read_events(connection, order_id)

    async def page(self, account: str, wanted: Filter) -> Page:
        """Return the page of the account's orders that the filter describes."""
        async with self._lend() as connection:
            orders = await reading.list_orders(
                connection,
                account,
                limit=wanted.limit + 1,
                before=wanted.before,
                wallet=wanted.wallet,
                status=wanted.status,
                order_type=wanted.order_type,
            )
        return Page(orders[: wanted.limit], more=len(orders) > wanted.limit)

    async def events_after(self, order_id: UUID, seq: int) -> list[Event]:
        """Return the order's events above the given `seq`, for a caller that has made sure whose order it is."""
        async with self._lend() as connection:
            return await reading.read_events(connection, order_id, seq)

    async def missed(self, positions: Mapping[UUID, int], limit: int) -> list[Event]:
        """Return the events of all these orders above the given `seq` of each, at most `limit`."""
        async with self._lend() as connection:
            return await reading.read_events_after(connection, positions, limit)

    async def wallet_state(self, wallet: WalletName, since: datetime | None) -> AsyncGenerator[list[Event]]:
        """Yield, in pages, the latest events of the wallet's unfinished orders, with `since` of those changed since."""
        after = UUID(int=0)
        page = None
        while page is None or len(page) == _STATE_PAGE:
            async with self._lend() as connection:
                page = await reading.read_wallet_state(connection, *wallet, since=since, after=after, limit=_STATE_PAGE)
            if page:
                after = page[-1].order_id
                yield page

    async def new_wallet_orders(self, after: Mapping[WalletName, UUID]) -> list[tuple[WalletName, UUID]]:
        """Return the orders of these wallets with an id above the given one of each."""
        async with self._lend() as connection:
            wanted = [(wallet.account, wallet.name, order_id) for wallet, order_id in after.items()]
            rows = await reading.read_new_wallet_orders(connection, wanted)
        return [(WalletName(account, wallet), order_id) for account, wallet, order_id in rows]


def unknown_order(order_id: UUID) -> Refusal:
    """Return the refusal that says that there is no such order."""
    return Refusal(NOT_FOUND, f"there is no order {order_id}")
