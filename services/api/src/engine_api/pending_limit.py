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
    counting: asyncio.Task[None] | None = None
    none_under_way: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.none_under_way.set()

    def finish_counting(self, counting: asyncio.Task[None]) -> None:
        """Let the next request start a new count; the error of this one is for those that waited."""
        self.counting = None
        if not counting.cancelled():
            counting.exception()


class PendingLimit:
    """Admits pending orders of an account up to the bound.

    The account's orders are counted when the share of the room that the last count gave is used up, at the latest after
    a second: not for each request. One process alone keeps the bound exactly. Each further one may exceed it by 50
    orders, because a count misses what others have admitted and not stored yet. That is a share for each process: it
    counts again only when everything that it admitted is stored or has failed.
    """

    def __init__(self, lend: Lend, bound: int) -> None:
        self._lend = lend
        self._bound = bound
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def admitting(self, account: str) -> AsyncGenerator[None]:
        """Take one more pending order, which is being stored meanwhile. Raises Refusal, and what counting raises."""
        known = self._accounts.setdefault(account, _Account())
        while not (known.room > 0 and _is_recent(known)):
            if known.full and _is_recent(known):
                raise self._refusal(account)
            await self._share_count(account, known)
        known.room -= 1
        known.under_way += 1
        known.none_under_way.clear()
        try:
            yield
        finally:
            known.under_way -= 1
            if known.under_way == 0:
                known.none_under_way.set()

    async def _share_count(self, account: str, known: _Account) -> None:
        """Wait for the count that is running, or for a new one. All that wait get its error, if it has one.

        One after the other, each would wait for a time-out of its own while PostgreSQL does not answer.
        """
        if known.counting is None:
            known.counting = asyncio.create_task(self._count(account, known))
            known.counting.add_done_callback(known.finish_counting)
        await asyncio.shield(known.counting)  # a client that leaves does not end the others' count

    async def _count(self, account: str, known: _Account) -> None:
        await known.none_under_way.wait()
        async with self._lend() as connection:
            counted = await reading.count_pending(connection, account, at_most=self._bound)
        room = max(self._bound - counted, 0)
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
