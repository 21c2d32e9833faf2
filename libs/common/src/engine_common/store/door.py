"""The one door: every change of an order's state goes through `move`, many orders in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from engine_common.orders import Event, EventType, Order
from engine_common.store import statements
from engine_common.store.pool import Connection
from engine_common.transitions import Status, check, is_retry


@dataclass(frozen=True, slots=True)
class SignedSwap:
    """What an attempt sends: its id is known and kept before the first byte leaves."""

    signature: str
    transaction: bytes
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of one order: what it expects to find (version, status, epoch), and what it writes.

    `attempt` is the attempt after the move; `delay_ms` keeps the order from being claimed until then; `outcome` and
    `outcome_reason` end the attempt of the state that is left; `data` is the event's. The rest are the order's columns.
    """

    order_id: UUID
    version: int
    source: Status
    epoch: int
    target: Status
    attempt: int
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    delay_ms: int | None = None
    venue: str | None = None
    pool: str | None = None
    routing: str | None = None
    floor: int | None = None
    amount_out: int | None = None
    error_code: str | None = None
    error_reason: str | None = None
    swap: SignedSwap | None = None
    outcome: str | None = None
    outcome_reason: str | None = None

    def __post_init__(self) -> None:
        check(self.source, self.target)
        if (self.target is Status.SUBMITTED) != (self.swap is not None):
            raise ValueError("a move to submitted, and no other, carries the signed swap")

    @property
    def event_type(self) -> EventType:
        """A retry's event says so; every other move is a plain change of status."""
        return EventType.RETRYING if is_retry(self.source, self.target) else EventType.STATUS

    def event(self, moved: "Moved") -> Event:
        """Return the event that the move wrote."""
        return Event(
            self.order_id,
            moved.version,
            self.event_type,
            self.target,
            self.source,
            self.attempt,
            moved.at,
            self.data,
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move wrote: the order's new version, which is its event's `seq`, and the event's time."""

    version: int
    at: datetime


def from_order(order: Order, target: Status, **changes: Any) -> Move:
    """Return the move of the order, as it was last read, to the target."""
    attempt = order.attempt + is_retry(order.status, target)
    return Move(order.id, order.version, order.status, order.lease_epoch, target, attempt, **changes)


async def move(connection: Connection, moves: Sequence[Move]) -> list[Moved | None]:
    """Carry out the moves that still fit, in one statement; None for each that did not come back.

    None means unknown: the row may have changed under the caller, or an earlier sending of the same move landed.
    """
    rows = orjson.dumps([_row(move) for move in moves]).decode()
    cursor = await connection.execute(statements.MOVE, {"moves": rows}, prepare=True)
    moved = {row[0]: Moved(row[1], row[2]) for row in await cursor.fetchall()}
    return [moved.get(move.order_id) for move in moves]


# What most moves leave out: null when it is not in the row.
_OPTIONAL = (
    "delay_ms",
    "venue",
    "pool",
    "routing",
    "floor",
    "amount_out",
    "error_code",
    "error_reason",
    "outcome",
    "outcome_reason",
)


def _row(move: Move) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": move.order_id,
        "version": move.version,
        "source": move.source,
        "epoch": move.epoch,
        "target": move.target,
        "type": move.event_type,
        "attempt": move.attempt,
        "data": move.data,
    }
    for name in _OPTIONAL:
        value = getattr(move, name)
        if value is not None:
            row[name] = value
    if move.swap is not None:
        row["signature"] = move.swap.signature
        row["signed_transaction"] = "\\x" + move.swap.transaction.hex()
        row["last_valid_block_height"] = move.swap.last_valid_block_height
    return row
