"""The rows of the tables that the model of the database keeps in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from engine_common.orders import Order

Parameters = Mapping[str, Any]


@dataclass(slots=True)
class OrderRow:
    """A row of `orders`."""

    id: UUID
    account: str
    type: str
    token_in: str
    token_out: str
    amount_in: int
    slippage_bps: int | None
    min_amount_out: int | None
    user_wallet: str
    status: str
    traceparent: str
    fingerprint: bytes
    idempotency_key: str | None
    state_since: datetime
    created_at: datetime
    updated_at: datetime
    queued_at: datetime | None
    version: int = 1
    attempt: int = 1
    venue: str | None = None
    pool: str | None = None
    routing: str | None = None
    effective_min_amount_out: int | None = None
    amount_out: int | None = None
    tx_hash: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    worker_id: UUID | None = None
    lease_epoch: int = 0
    not_before: datetime | None = None
    cancel_requested_at: datetime | None = None
    landed_at: datetime | None = None
    finished_at: datetime | None = None

    def columns(self) -> tuple[Any, ...]:
        """Return the columns of engine_common.orders.Order."""
        return tuple(getattr(self, name) for name in _ORDER_COLUMNS)


_ORDER_COLUMNS = [column.name for column in fields(Order)]


@dataclass(slots=True)
class EventRow:
    """A row of `order_events`."""

    order_id: UUID
    seq: int
    type: str
    status: str
    previous_status: str | None
    attempt: int
    at: datetime
    data: Any


@dataclass(slots=True)
class AttemptRow:
    """A row of `attempts`."""

    order_id: UUID
    attempt: int
    signature: str | None
    signed_transaction: bytes | None
    last_valid_block_height: int | None
    min_amount_out: int | None
    signer: str | None = None
    outcome: str | None = None
    reason: str | None = None


def minimum_in_force(row: OrderRow, move: Parameters) -> int | None:
    """Return the minimum output that is in force after the move."""
    kept = row.effective_min_amount_out
    return move.get("effective_min_amount_out") if kept is None else kept
