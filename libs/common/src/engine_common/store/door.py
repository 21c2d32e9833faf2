"""The one door: every change of an order's state goes through `move`, many orders in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from engine_common.orders import Event, EventType, Order
from engine_common.store import statements
from engine_common.store.pool import Connection
from engine_common.transitions import Status, check, is_retry

Note = Literal[EventType.CANCEL_REQUESTED, EventType.LANDED]


@dataclass(frozen=True, slots=True)
class SignedSwap:
    """What an attempt sends: its id is known and kept before the first byte leaves.

    `signer` is the address of the wallet that signed it and receives its output; None in attempts of versions that did
    not keep it.
    """

    signature: str
    transaction: bytes
    last_valid_block_height: int
    signer: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of one order: what it expects to find (version, status, epoch), and what it writes.

    `attempt` is the attempt after the move; `delay_ms` keeps the order from being claimed until then; `outcome` and
    `outcome_reason` end the attempt of the state that is left; `data` is the event's; `note` is an event that leaves
    the status as it is. The rest are the order's columns.
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
    effective_min_amount_out: int | None = None
    amount_out: int | None = None
    error_code: str | None = None
    error_reason: str | None = None
    swap: SignedSwap | None = None
    outcome: str | None = None
    outcome_reason: str | None = None
    note: Note | None = None

    def __post_init__(self) -> None:
        if self.note is not None:
            if (self.source, self.target) != (Status.SUBMITTED, Status.SUBMITTED):
                raise ValueError(f"{self.note} is an event of submitted orders, and leaves them submitted")
            return
        check(self.source, self.target)
        if (self.target is Status.SUBMITTED) != (self.swap is not None):
            raise ValueError("a move to submitted, and no other, carries the signed swap")
        if (self.source, self.target) == (Status.SUBMITTED, Status.CANCELLED):
            raise ValueError("a submitted order is cancelled only by the database, in place of a retry or a failure")

    @property
    def event_type(self) -> EventType:
        """A retry's event and a note say what they are; every other move is a plain change of status."""
        if self.note is not None:
            return self.note
        return EventType.RETRYING if is_retry(self.source, self.target) else EventType.STATUS

    @property
    def attempt_left(self) -> int:
        """The attempt of the state that is left."""
        return self.attempt - is_retry(self.source, self.target)

    def event(self, moved: "Moved") -> Event:
        """Return the event that the move wrote."""
        source = None if self.note is not None else self.source
        if moved.status is self.target:
            return Event(
                self.order_id, moved.version, self.event_type, moved.status, source, self.attempt, moved.at, self.data
            )
        ended = {"errorCode": self.outcome, "errorReason": self.outcome_reason}
        return Event(
            self.order_id, moved.version, EventType.STATUS, moved.status, source, self.attempt_left, moved.at, ended
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move wrote: the order's new version, which is its event's `seq`, the event's time, and the actual status.

    The status is the move's target, or `cancelled` in place of a retry or a failure of an order whose owner had asked
    for its cancellation.
    """

    version: int
    at: datetime
    status: Status


def from_order(order: Order, target: Status, **changes: Any) -> Move:
    """Return the move of the order, as it was last read, to the target."""
    attempt = order.attempt + is_retry(order.status, target)
    return Move(order.id, order.version, order.status, order.lease_epoch, target, attempt, **changes)


def note(order: Order, event_type: Note, data: Mapping[str, Any]) -> Move:
    """Return the move that leaves the submitted order as it is and writes an event."""
    return from_order(order, Status.SUBMITTED, note=event_type, data=data)


async def move(connection: Connection, moves: Sequence[Move]) -> list[Moved | None]:
    """Carry out the moves that still fit, in one statement; None for each that did not come back.

    None means unknown: the row may have changed under the caller, or an earlier sending of the same move landed.
    """
    rows = orjson.dumps([_row(move) for move in moves]).decode()
    cursor = await connection.execute(statements.MOVE, {"moves": rows}, prepare=True)
    moved = {row[0]: Moved(row[1], row[2], Status(row[3])) for row in await cursor.fetchall()}
    return [moved.get(move.order_id) for move in moves]


# What most moves leave out: null when it is not in the row.
_OPTIONAL = (
    "delay_ms",
    "venue",
    "pool",
    "routing",
    "effective_min_amount_out",
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
        row["signer"] = move.swap.signer
    return row
