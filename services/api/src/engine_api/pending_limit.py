"""The bound on pending orders of an account: they are never executed by themselves, so they would pile up."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine_api.order_book import Lend
from engine_api.problems import TOO_MANY_PENDING, Refusal
from engine_common.store import reading

# Seconds; what other api processes store meanwhile is not seen.
_COUNT_IS_GOOD_FOR_S = 1.0
_RETRY_AFTER_S = 5

# Of the room that a count finds, a process takes this share before it counts again, and at least so many orders. With
# as many processes as shares, they exceed the bound by at most these many orders each.
_SHARES = 32
_LEAST_SHARE = 50


@dataclass(slots=True)
class _Account:
    """What this process knows of an account: how many orders it may still take, and since when it knows."""

    room: int = 0
    counted_at: float = -math.inf
    under_way: int = 0
    full: bool = False
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class PendingLimit:
    """Admits pending orders of an account up to the bound.

    The account's orders are counted when the share of the room that the last count gave is used up, at the latest after
    a second: not for each request. One process alone keeps the bound exactly. Each further one may exceed it by 50
    orders, because it does not see for a second what the others store.
    """

    def __init__(self, lend: Lend, bound: int) -> None:
        self._lend = lend
        self._bound = bound
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def admitting(self, account: str) -> AsyncGenerator[None]:
        """Take one more pending order, which is being stored meanwhile. Raises Refusal, and what counting raises."""
        known = self._accounts.setdefault(account, _Account())
        while not self._has_room(known):
            async with known.counting:
                if self._has_room(known):  # another request has counted meanwhile
                    break
                if known.full and _is_recent(known):
                    raise self._refusal(account)
                await self._count(account, known)
        known.room -= 1
        known.under_way += 1
        try:
            yield
        finally:
            known.under_way -= 1

    def _has_room(self, known: _Account) -> bool:
        return known.room > 0 and _is_recent(known)

    async def _count(self, account: str, known: _Account) -> None:
        # What is being stored right now may be in the count or not: it is added, so that the bound holds.
        under_way = known.under_way
        async with self._lend() as connection:
            counted = await reading.count_pending(connection, account, at_most=self._bound)
        room = max(self._bound - counted - under_way, 0)
        known.room = min(room, max(room // _SHARES, _LEAST_SHARE))
        known.full = room == 0
        known.counted_at = asyncio.get_running_loop().time()

    def _refusal(self, account: str) -> Refusal:
        return Refusal(
            TOO_MANY_PENDING,
            f"the account {account} has {self._bound} pending orders, and no more are taken: execute or cancel some of "
            "them (GET /api/orders?status=pending lists them), then repeat the request; nothing was stored",
            headers={"retry-after": str(_RETRY_AFTER_S)},
        )


def _is_recent(known: _Account) -> bool:
    return asyncio.get_running_loop().time() < known.counted_at + _COUNT_IS_GOOD_FOR_S
