"""What PostgreSQL and the chain's ledger hold when everything has settled: the oracle's material."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import aiohttp
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import class_row

_PAGE = 1000
_TIMEOUT = aiohttp.ClientTimeout(total=30)

Row = TypeVar("Row")


@dataclass(frozen=True)
class OrderRow:
    """An order as it is stored."""

    order_id: str
    key: str | None
    status: str
    version: int
    attempt: int
    tx_hash: str | None
    amount_out: int | None
    traceparent: str


@dataclass(frozen=True)
class EventRow:
    """An event of an order's history."""

    order_id: str
    seq: int
    type: str
    status: str
    previous_status: str | None
    attempt: int
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True)
class AttemptRow:
    """An attempt and what became of it; `signature` is None where it ended before it was signed."""

    order_id: str
    attempt: int
    signature: str | None
    min_amount_out: int | None
    outcome: str | None


@dataclass(frozen=True)
class LandingRow:
    """A transaction of the ledger; `error` is None for a swap that succeeded."""

    order_id: str
    attempt: int
    signature: str
    error: int | None
    amount_out: int | None


@dataclass(frozen=True)
class Evidence:
    """All of it; events and attempts by order and in order."""

    orders: Mapping[str, OrderRow]
    events: Mapping[str, Sequence[EventRow]]
    attempts: Mapping[str, Sequence[AttemptRow]]
    landings: Sequence[LandingRow]


_ORDERS = """
SELECT id::text AS order_id, idempotency_key AS key, status, version, attempt, tx_hash, amount_out, traceparent
FROM orders WHERE starts_with(coalesce(idempotency_key, ''), %(keys)s) ORDER BY id
"""
_EVENTS = """
SELECT order_id::text, e.seq, e.type, e.status, e.previous_status, e.attempt, e.at, e.data
FROM order_events e JOIN orders o ON o.id = e.order_id
WHERE starts_with(coalesce(o.idempotency_key, ''), %(keys)s) ORDER BY order_id, seq
"""
_ATTEMPTS = """
SELECT order_id::text, a.attempt, a.signature, a.min_amount_out, a.outcome
FROM attempts a JOIN orders o ON o.id = a.order_id
WHERE starts_with(coalesce(o.idempotency_key, ''), %(keys)s) ORDER BY order_id, a.attempt
"""


async def gather(database_url: str, dex_url: str, keys: str = "") -> Evidence:
    """Read everything; with `keys`, what concerns the orders whose Idempotency-Key begins so.

    Raises psycopg.Error and aiohttp.ClientError.
    """
    async with await AsyncConnection.connect(database_url) as connection:
        # One snapshot: an order that still moves would otherwise contradict its own history.
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        orders = await _rows(connection, _ORDERS, OrderRow, keys)
        events = await _rows(connection, _EVENTS, EventRow, keys)
        attempts = await _rows(connection, _ATTEMPTS, AttemptRow, keys)
    known = {order.order_id for order in orders}
    landings = [each for each in await _ledger(dex_url) if not keys or each.order_id in known]
    return assemble(orders, events, attempts, landings)


def assemble(
    orders: Sequence[OrderRow],
    events: Sequence[EventRow],
    attempts: Sequence[AttemptRow],
    landings: Sequence[LandingRow],
) -> Evidence:
    """Sort rows by order."""
    events_of: defaultdict[str, list[EventRow]] = defaultdict(list)
    for event in events:
        events_of[event.order_id].append(event)
    attempts_of: defaultdict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in attempts:
        attempts_of[attempt.order_id].append(attempt)
    return Evidence({order.order_id: order for order in orders}, dict(events_of), dict(attempts_of), landings)


async def _rows(connection: AsyncConnection, query: LiteralString, row: type[Row], keys: str) -> list[Row]:
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, {"keys": keys})
        return await cursor.fetchall()


async def _ledger(dex_url: str) -> list[LandingRow]:
    landings: list[LandingRow] = []
    query = {"limit": str(_PAGE)}
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        while True:
            async with session.get(f"{dex_url}/ledger", params=query) as response:
                response.raise_for_status()
                page = await response.json()
            landings += [_landing(row) for row in page["data"]]
            if page["nextCursor"] is None:
                return landings
            query["after"] = page["nextCursor"]


def _landing(row: Mapping[str, Any]) -> LandingRow:
    amount_out = row["amountOut"]
    return LandingRow(
        order_id=str(row["orderId"]),
        attempt=int(row["attempt"]),
        signature=str(row["signature"]),
        error=row["error"],
        amount_out=None if amount_out is None else int(amount_out),
    )
