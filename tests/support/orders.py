"""Orders for tests: plain functions over defaults, and rows in a state that no short way of the engine leads to."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import AsyncConnection, sql

from engine_common.orders import NewOrder, Order
from engine_common.store import creation, reading
from engine_common.store.door import SignedSwap
from engine_common.transitions import TERMINAL, Status

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WALLET = "5tzFkiKscXHK5ZXCGbXZxdw7gTjjD1mBwuoFbhUvuAi9"
# A pool's address as any other: 32 bytes in base58.
POOL = "8sLbNZoA1cfnvMJLPfp98ZLAnFSYCFApfJKMbiXNLwxj"


def new_id() -> UUID:
    """Return an order id as the api makes them: ordered by time."""
    return uuid_utils.compat.uuid7()


def new_order(**changes: Any) -> NewOrder:
    """Return an accepted MARKET order: 1.5 SOL into USDC, 0.5 % slippage, to be executed."""
    order = NewOrder(
        id=new_id(),
        account="default",
        idempotency_key=None,
        fingerprint=b"f" * 32,
        type="MARKET",
        token_in="SOL",
        token_out="USDC",
        amount_in=1_500_000_000,
        slippage_bps=50,
        min_amount_out=None,
        user_wallet=WALLET,
        status=Status.QUEUED,
        traceparent=TRACEPARENT,
    )
    return replace(order, **changes)


def stored_order(**changes: Any) -> Order:
    """Return an order as a worker holds it right after its first claim, without any database."""
    now = datetime.now(UTC)
    order = Order(
        id=new_id(),
        account="default",
        type="MARKET",
        token_in="SOL",
        token_out="USDC",
        amount_in=1_500_000_000,
        slippage_bps=50,
        min_amount_out=None,
        effective_min_amount_out=None,
        user_wallet=WALLET,
        status=Status.QUEUED,
        version=1,
        attempt=1,
        venue=None,
        pool=None,
        routing=None,
        amount_out=None,
        tx_hash=None,
        error_code=None,
        error_reason=None,
        traceparent=TRACEPARENT,
        lease_epoch=1,
        not_before=None,
        state_since=now,
        cancel_requested_at=None,
        landed_at=None,
        created_at=now,
        updated_at=now,
    )
    return replace(order, **changes)


def signed_swap(name: str | None = None, *, last_valid_block_height: int = 1_000) -> SignedSwap:
    """Return a swap that looks signed: its bytes follow from its signature."""
    signature = name or f"signature-{new_id()}"
    return SignedSwap(signature, b"transaction of " + signature.encode(), last_valid_block_height, WALLET)


async def create(connection: AsyncConnection[Any], *orders: NewOrder) -> list[Order]:
    """Store the orders, as the api does, and return them as they stand."""
    await creation.create(connection, orders)
    return [await read(connection, order.id) for order in orders]


async def read(connection: AsyncConnection[Any], order_id: UUID, account: str = "default") -> Order:
    """Return the order as it stands."""
    order = await reading.read_order(connection, account, order_id)
    assert order is not None, f"there is no order {order_id}"
    return order


# What the schema asks of a row in a state, besides what every order has.
_COLUMNS: dict[Status, dict[str, Any]] = {
    Status.CONFIRMED: {"tx_hash": "landed", "amount_out": 1, "attempt": 1},
    Status.FAILED: {"error_code": "no_liquidity", "error_reason": "no venue can fill the order"},
}


async def insert_row(connection: AsyncConnection[Any], status: Status = Status.QUEUED, **columns: Any) -> UUID:
    """Write a row of `orders` in the given state past the door, with the first event; return the order's id."""
    order = new_order()
    row: dict[str, Any] = {
        name: getattr(order, name)
        for name in (
            *("id", "account", "idempotency_key", "fingerprint", "type", "token_in", "token_out", "amount_in"),
            *("slippage_bps", "min_amount_out", "user_wallet", "traceparent"),
        )
    }
    now = datetime.now(UTC)
    row |= {"status": str(status), "version": 1}
    row |= {"queued_at": None if status is Status.PENDING else now, "finished_at": now if status in TERMINAL else None}
    row |= _COLUMNS.get(status, {}) | columns
    statement = sql.SQL("INSERT INTO orders ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
    )
    await connection.execute(statement, row)
    await connection.execute(
        "INSERT INTO order_events (order_id, seq, type, status, attempt, at, data)"
        " VALUES (%s, %s, 'status', %s, 1, clock_timestamp(), '{}')",
        (row["id"], row["version"], row["status"]),
    )
    return row["id"]


async def insert_rows(connection: AsyncConnection[Any], statuses: Iterable[Status], **columns: Any) -> list[UUID]:
    """Write one row for each of the states."""
    return [await insert_row(connection, status, **columns) for status in statuses]
