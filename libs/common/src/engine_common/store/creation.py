"""Storing new orders: an INSERT that may be repeated without ever creating an order twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from engine_common.orders import NewOrder, Order
from engine_common.store import statements
from engine_common.store.pool import Connection
from engine_common.store.reading import as_order


@dataclass(frozen=True, slots=True)
class Created:
    """The order is stored, by this sending or by an earlier one of the same row."""

    at: datetime


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """An order with this account and idempotency key is there already; `same` tells whether it asks for the same."""

    order: Order
    same: bool


async def create(connection: Connection, orders: Sequence[NewOrder]) -> list[Created | KeyTaken]:
    """Store the orders with their first events, in one statement, and say of each what became of it."""
    rows = orjson.dumps([_row(order) for order in orders]).decode()
    cursor = await connection.execute(statements.CREATE, {"orders": rows}, prepare=True)
    created: dict[UUID, datetime] = dict(await cursor.fetchall())
    if len(created) == len(orders):
        return [Created(created[order.id]) for order in orders]
    missing = [order.id for order in orders if order.id not in created]
    cursor = await connection.execute(statements.FIND_CREATED, {"ids": missing})
    created.update(await cursor.fetchall())
    return [Created(created[order.id]) if order.id in created else await _taken(connection, order) for order in orders]


async def _taken(connection: Connection, order: NewOrder) -> Created | KeyTaken:
    if order.idempotency_key is not None:
        taken = await find_by_key(connection, order.account, order.idempotency_key, order.fingerprint)
        if taken is not None:
            return taken
    # The row that was in the way is gone again (it was never committed): the same INSERT decides anew.
    return (await create(connection, [order]))[0]


async def find_by_key(connection: Connection, account: str, key: str, fingerprint: bytes) -> KeyTaken | None:
    """Return the order that was created with this key, and whether the fingerprint is its own."""
    cursor = await connection.execute(statements.FIND_BY_KEY, {"account": account, "key": key})
    row = await cursor.fetchone()
    return None if row is None else KeyTaken(as_order(row[1:]), same=row[0] == fingerprint)


def _row(order: NewOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "account": order.account,
        "idempotency_key": order.idempotency_key,
        "fingerprint": "\\x" + order.fingerprint.hex(),
        "type": order.type,
        "token_in": order.token_in,
        "token_out": order.token_out,
        "amount_in": order.amount_in,
        "slippage_bps": order.slippage_bps,
        "min_amount_out": order.min_amount_out,
        "user_wallet": order.user_wallet,
        "status": order.status,
        "traceparent": order.traceparent,
    }
