"""The ledger: everything that has landed, from storage, in order; the oracle of audits."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from mockdex.landings import Landing, ledger_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from mockdex.markets import Markets
    from mockdex.storage import Storage

_PAGE = """
SELECT number, signature, slot, block_time, error, amount_out, record FROM landed
WHERE number > ? ORDER BY number LIMIT ?
"""
_FIND = """
SELECT number, signature, slot, block_time, error, amount_out, record FROM landed
WHERE signature IN (SELECT value FROM json_each(?))
"""
_NEWEST_FIRST = """
SELECT number, signature, slot, block_time, error, amount_out, record FROM landed ORDER BY number DESC
"""
_COUNT = "SELECT coalesce(max(number), 0) FROM landed"
_DEFAULT_PAGE = 1_000
_LARGEST_PAGE = 5_000
_LARGEST_CURSOR_DIGITS = 18


class Ledger:
    """Reads landings; only committed ones are there to be read."""

    def __init__(self, storage: Storage, markets: Markets) -> None:
        self._storage = storage
        self._markets = markets

    async def find(self, signatures: Sequence[str]) -> dict[str, Landing]:
        """Return the landings among these signatures."""
        rows = await self._storage.read(_FIND, [orjson.dumps(signatures).decode()])
        return {row[1]: Landing(*row) for row in rows}

    def count(self) -> int:
        """Return how many have landed. Blocks: for the start only."""
        return self._storage.read_now(_COUNT)[0][0]

    def since(self, slot: int) -> list[Landing]:
        """Return what has landed from a slot on, in order. Blocks: for the start only."""
        newest = (Landing(*row) for row in self._storage.scan(_NEWEST_FIRST))
        return list(takewhile(lambda landing: landing.slot >= slot, newest))[::-1]

    async def page(self, after: int, limit: int) -> dict[str, Any]:
        """Return the landings after a cursor; nextCursor is null when there are no more for now."""
        rows = await self._storage.read(_PAGE, (after, limit + 1))
        page = [ledger_json(Landing(*row), self._markets) for row in rows[:limit]]
        return {"data": page, "nextCursor": page[-1]["cursor"] if len(rows) > limit else None}

    async def answer(self, request: Request) -> Response:
        """Serve `GET /ledger?after=&limit=`."""
        after = request.query_params.get("after") or "0"
        limit = request.query_params.get("limit") or str(_DEFAULT_PAGE)
        if not _is_number(after) or not _is_number(limit) or not 1 <= int(limit) <= _LARGEST_PAGE:
            error = {
                "code": "invalid_request",
                "message": f"after is a cursor, limit a number from 1 to {_LARGEST_PAGE}",
            }
            return Response(orjson.dumps(error), 400, media_type="application/json")
        return Response(orjson.dumps(await self.page(int(after), int(limit))), media_type="application/json")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LARGEST_CURSOR_DIGITS
