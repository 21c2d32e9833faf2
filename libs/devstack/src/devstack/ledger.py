"""The chain's ledger, read page by page from the mock DEX."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import aiohttp
from pydantic import (
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from devstack.faults import LedgerUnreadable
from engine_common.errors import SlippageExceeded, SwapFailed, SwapRejected
from engine_common.http_address import HttpAddress
from engine_common.store import restoration
from engine_common.store.audit import Landing
from engine_common.tokens import MAX_BASE_UNITS

_PAGE = 1000
# The contract of the ledger names them: docs/contracts.md.
_OUTCOMES = {None: restoration.CONFIRMED, 6000: SwapFailed.code, 6001: SlippageExceeded.code}


class _Swap(BaseModel):
    """What a row says of its swap; `error` is the custom error's number, amounts are base units."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))

    signature: str
    error: int | None
    attempt: PositiveInt
    venue: str
    pool: str
    minimum_out: Annotated[int, Field(ge=0, le=MAX_BASE_UNITS)]
    amount_out: Annotated[int, Field(gt=0, le=MAX_BASE_UNITS)] | None

    @model_validator(mode="after")
    def _has_an_amount_if_it_succeeded(self) -> "_Swap":
        # Taken for one that failed, it would have an order cancelled that was swapped.
        if self.error is None and self.amount_out is None:
            raise ValueError("a swap without error has an amountOut")
        return self


class Ledger:
    """A reader that remembers how far it has read: what landed later is the remainder of the next reading."""

    def __init__(self, session: aiohttp.ClientSession, dex_url: str) -> None:
        self._session = session
        self._address = HttpAddress.parse(dex_url)
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
        query = f"limit={_PAGE}" + (f"&after={self._cursor}" if self._cursor else "")
        address = self._address
        headers = {"authorization": address.authorization} if address.authorization else {}
        try:
            url = address.origin + address.target("/ledger", query)
            async with self._session.get(url, headers=headers) as response:
                if response.status != HTTPStatus.OK:
                    raise LedgerUnreadable(self._unreadable(f"it answered {response.status}"))
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise LedgerUnreadable(self._unreadable(type(error).__name__)) from error

    def _unreadable(self, reason: str) -> str:
        """Say what failed without the URL's query and user: a key may stand there."""
        where = f"{self._address.origin}{self._address.prefix}/ledger"
        return f"The ledger cannot be read from {where}: {reason}. Check DEX_URL and that the mock DEX is running."


def _landing(row: Mapping[str, Any]) -> Landing:
    return Landing(_order_id(row), str(row["signature"]), row["error"] is None)


def _swap(row: Mapping[str, Any]) -> restoration.Landing:
    try:
        swap = _Swap.model_validate(row)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
        raise LedgerUnreadable(f"The ledger's row {row['cursor']} cannot be used: {reasons}.") from error
    return restoration.Landing(
        order_id=_order_id(row),
        attempt=swap.attempt,
        signature=swap.signature,
        outcome=_OUTCOMES.get(swap.error, SwapRejected.code),
        venue=swap.venue,
        pool=swap.pool,
        minimum_out=swap.minimum_out,
        amount_out=swap.amount_out,
    )


def _order_id(row: Mapping[str, Any]) -> UUID | None:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return UUID(row["orderId"])
    return None
