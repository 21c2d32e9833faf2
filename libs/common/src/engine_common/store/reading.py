"""Reading orders, their histories and their attempts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from engine_common.orders import Event, Order
from engine_common.store import statements
from engine_common.store.door import SignedSwap
from engine_common.store.pool import Connection


def as_order(row: Sequence[Any]) -> Order:
    """Return the order of a row whose columns are those of the statements' order list."""
    return Order(*row)


async def read_order(connection: Connection, account: str, order_id: UUID) -> Order | None:
    """Return the account's order; None when it has none of this id."""
    cursor = await connection.execute(statements.READ_ORDER, {"id": order_id, "account": account})
    row = await cursor.fetchone()
    return None if row is None else as_order(row)


async def read_own(connection: Connection, worker_id: UUID, order_id: UUID) -> Order | None:
    """Return the order as it stands, if this worker owns it."""
    cursor = await connection.execute(statements.READ_OWN, {"id": order_id, "worker_id": worker_id})
    row = await cursor.fetchone()
    return None if row is None else as_order(row)


async def read_attempt(connection: Connection, order_id: UUID, attempt: int) -> SignedSwap | None:
    """Return what the attempt committed to send; None when it ended before it was signed."""
    cursor = await connection.execute(statements.READ_ATTEMPT, {"id": order_id, "attempt": attempt})
    row = await cursor.fetchone()
    return None if row is None else SignedSwap(*row)


async def list_orders(
    connection: Connection,
    account: str,
    *,
    limit: int,
    before: UUID | None = None,
    wallet: str | None = None,
    status: str | None = None,
    order_type: str | None = None,
) -> list[Order]:
    """Return at most `limit` orders of the account, newest first, older than `before`."""
    statement = statements.LIST_ORDERS if wallet is None else statements.LIST_WALLET_ORDERS
    parameters: Mapping[str, Any] = {
        "account": account,
        "limit": limit,
        "before": before,
        "wallet": wallet,
        "status": status,
        "type": order_type,
    }
    cursor = await connection.execute(statement, parameters)
    return [as_order(row) for row in await cursor.fetchall()]


async def read_events(connection: Connection, order_id: UUID, after: int = 0) -> list[Event]:
    """Return the order's events with a `seq` above `after`, in order."""
    cursor = await connection.execute(statements.READ_EVENTS, {"id": order_id, "after": after})
    return [Event(*row) for row in await cursor.fetchall()]


async def read_events_after(connection: Connection, positions: Mapping[UUID, int], limit: int) -> list[Event]:
    """Return, for each order, its events above the given `seq`, ordered within each order; at most `limit` in all."""
    parameters = {"ids": list(positions), "after": list(positions.values()), "limit": limit}
    cursor = await connection.execute(statements.READ_EVENTS_AFTER, parameters)
    return [Event(*row) for row in await cursor.fetchall()]


async def read_wallet_state(
    connection: Connection, account: str, wallet: str, *, since: datetime | None, after: UUID, limit: int
) -> list[Event]:
    """Return the latest event of the wallet's unfinished orders, and with `since` of those changed since.

    In order of the orders' ids, of which only those above `after` are read, and at most `limit`.
    """
    parameters: Mapping[str, Any] = {
        "account": account,
        "wallet": wallet,
        "since": since,
        "after": after,
        "limit": limit,
    }
    cursor = await connection.execute(statements.READ_WALLET_STATE, parameters)
    return [Event(*row) for row in await cursor.fetchall()]


async def read_new_wallet_orders(
    connection: Connection, after: Sequence[tuple[str, str, UUID]]
) -> list[tuple[str, str, UUID]]:
    """Return account, wallet and id of the orders whose id is above that given with their account and wallet."""
    accounts, wallets, ids = zip(*after, strict=True) if after else ((), (), ())
    parameters = {"accounts": list(accounts), "wallets": list(wallets), "after": list(ids)}
    cursor = await connection.execute(statements.READ_NEW_WALLET_ORDERS, parameters)
    return await cursor.fetchall()


async def count_unfinished(connection: Connection, at_most: int) -> int:
    """Return how many orders are to be executed or being executed; not beyond `at_most`."""
    cursor = await connection.execute(statements.COUNT_UNFINISHED, {"at_most": at_most}, prepare=True)
    row = await cursor.fetchone()
    return 0 if row is None else row[0]


async def count_pending(connection: Connection, account: str, at_most: int) -> int:
    """Return how many orders of the account wait for their execution to be asked for; not beyond `at_most`."""
    parameters = {"account": account, "at_most": at_most}
    cursor = await connection.execute(statements.COUNT_PENDING, parameters, prepare=True)
    row = await cursor.fetchone()
    return 0 if row is None else row[0]
