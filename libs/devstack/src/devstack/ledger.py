"""The chain's ledger, read page by page from the mock DEX."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from uuid import UUID

import aiohttp

from devstack.faults import LedgerUnreadable
from engine_common.errors import SlippageExceeded, SwapFailed, SwapRejected
from engine_common.store import restoration
from engine_common.store.audit import Landing

_PAGE = 1000
# The contract of the ledger names them: docs/contracts.md.
_OUTCOMES = {None: restoration.CONFIRMED, 6000: SwapFailed.code, 6001: SlippageExceeded.code}


class Ledger:
    """A reader that remembers how far it has read: what landed later is the remainder of the next reading."""

    def __init__(self, session: aiohttp.ClientSession, dex_url: str) -> None:
        self._session = session
        self._url = f"{dex_url.rstrip('/')}/ledger"
        self._cursor: str | None = None

    async def pages(self) -> AsyncGenerator[list[Landing]]:
        """Yield what has landed since the last reading, until there is nothing more for now.

        Raises LedgerUnreadable.
        """
        async for rows in self._rows():
            yield [_landing(row) for row in rows]

    async def swaps(self) -> AsyncGenerator[list[restoration.Landing]]:
        """Yield the same with everything that a restored database may lack.

        Raises LedgerUnreadable.
        """
        async for rows in self._rows():
            yield [_swap(row) for row in rows]

    async def _rows(self) -> AsyncGenerator[list[Mapping[str, Any]]]:
        more = True
        while more:
            page = await self._page()
            rows: list[Mapping[str, Any]] = page["data"]
            if rows:
                self._cursor = str(rows[-1]["cursor"])
                yield rows
            more = page["nextCursor"] is not None and bool(rows)

    async def _page(self) -> Mapping[str, Any]:
        query = {"limit": str(_PAGE), **({"after": self._cursor} if self._cursor else {})}
        try:
            async with self._session.get(self._url, params=query) as response:
                response.raise_for_status()
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise LedgerUnreadable(f"The ledger cannot be read from {self._url}: {reason}.") from error


def _landing(row: Mapping[str, Any]) -> Landing:
    return Landing(_order_id(row), str(row["signature"]), row["error"] is None)


def _swap(row: Mapping[str, Any]) -> restoration.Landing:
    return restoration.Landing(
        order_id=_order_id(row),
        attempt=int(row["attempt"]),
        signature=str(row["signature"]),
        outcome=_OUTCOMES.get(row["error"], SwapRejected.code),
        venue=str(row["venue"]),
        pool=str(row["pool"]),
        minimum_out=int(row["minimumOut"]),
        amount_out=None if row["amountOut"] is None else int(row["amountOut"]),
    )


def _order_id(row: Mapping[str, Any]) -> UUID | None:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return UUID(row["orderId"])
    return None
