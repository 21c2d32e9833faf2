"""Orders as a database holds them, and a chain's ledger of the test's own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from aiohttp import web
from psycopg.rows import dict_row

Row = dict[str, Any]

_INSERT_ORDER = """
INSERT INTO orders (id, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet, status,
                    version, attempt, traceparent, tx_hash, amount_out, error_code, finished_at, queued_at, worker_id,
                    lease_epoch)
VALUES (%s, '', 'MARKET', 'SOL', 'USDC', 1500000000, 50, 'w', %s, 4, %s, '', %s, %s, %s, %s, %s, %s, 1)
"""
_INSERT_ATTEMPT = """
INSERT INTO attempts (order_id, attempt, signature, signed_transaction, last_valid_block_height, min_amount_out)
VALUES (%s, %s, %s, '', 1, 1)
"""


@dataclass
class Chain:
    """A ledger, served as the mock DEX serves its."""

    rows: list[Row] = field(default_factory=list)
    when_drained: Callable[[], None] = lambda: None
    """called before a reader is told that there is nothing more"""
    page: int = 1000

    def land(
        self,
        order_id: UUID | str | None,
        signature: str,
        *,
        attempt: int = 1,
        error: int | None = None,
        paid: int = 222_913_001,
    ) -> None:
        """Append a landing."""
        row = {"cursor": str(len(self.rows) + 1), "signature": signature, "error": error}
        row["orderId"] = str(order_id) if order_id else None
        amount = None if error else str(paid)
        swap = {"attempt": attempt, "venue": "meteora", "pool": "8sLb", "minimumOut": "221798437", "amountOut": amount}
        self.rows.append(row | swap)

    async def answer(self, request: web.Request) -> web.Response:
        """Serve a page."""
        start = int(request.query.get("after", "0"))
        page = self.rows[start : start + min(self.page, int(request.query["limit"]))]
        more = start + len(page) < len(self.rows)
        if not more:
            await asyncio.to_thread(self.when_drained)
        return web.json_response({"data": page, "nextCursor": page[-1]["cursor"] if more else None})


def store(database_url: str, status: str, *signatures: str, attempt: int = 1) -> UUID:
    """Store an order in a state, with the signatures of its attempts; return its id."""
    order_id = uuid4()
    row = (
        order_id,
        status,
        attempt,
        signatures[-1] if signatures else None,
        1 if status == "confirmed" else None,
        "swap_failed" if status == "failed" else None,
        "now" if status in {"confirmed", "failed", "cancelled"} else None,
        None if status == "pending" else "now",
        uuid4(),
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(_INSERT_ORDER, row)
        for number, signature in enumerate(signatures, start=1):
            connection.execute(_INSERT_ATTEMPT, (order_id, number, signature))
    return order_id


def read(database_url: str, statement: str, *parameters: object) -> list[Row]:
    """Return the rows of a query."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute(statement, parameters).fetchall()  # pyright: ignore[reportArgumentType]


def order(database_url: str, order_id: UUID) -> Row:
    """Return an order's row."""
    return read(database_url, "SELECT * FROM orders WHERE id = %s", order_id)[0]


def ended(database_url: str, order_id: UUID) -> tuple[str, str, int]:
    """Return an order's state, transaction and attempt."""
    found = order(database_url, order_id)
    return found["status"], found["tx_hash"], found["attempt"]


def tried(database_url: str, order_id: UUID) -> list[tuple[Any, ...]]:
    """Return number, signature and outcome of an order's attempts."""
    statement = "SELECT attempt, signature, outcome FROM attempts WHERE order_id = %s ORDER BY attempt"
    return [tuple(each.values()) for each in read(database_url, statement, order_id)]
