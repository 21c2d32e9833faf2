"""The order and its events, as the store keeps them and as every service speaks of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from engine_common import tokens
from engine_common.tokens import Token
from engine_common.transitions import TERMINAL, Status

DEFAULT_ACCOUNT = "default"


class OrderType(StrEnum):
    """How an order is triggered; LIMIT and SNIPER will be further members."""

    MARKET = "MARKET"


@dataclass(slots=True)
class Order:
    """One row of `orders`: amounts in base units, `routing` the public document as JSON text.

    `min_amount_out` and `slippage_bps` are the user's own; `effective_min_amount_out` is the minimum output in force,
    computed from the first route and kept for every attempt.
    """

    id: UUID
    account: str
    type: str
    token_in: str
    token_out: str
    amount_in: int
    slippage_bps: int | None
    min_amount_out: int | None
    effective_min_amount_out: int | None
    user_wallet: str
    status: Status
    version: int
    attempt: int
    venue: str | None
    pool: str | None
    routing: str | None
    amount_out: int | None
    tx_hash: str | None
    error_code: str | None
    error_reason: str | None
    traceparent: str
    lease_epoch: int
    not_before: datetime | None
    state_since: datetime
    cancel_requested_at: datetime | None
    landed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        self.status = Status(self.status)

    @property
    def terminal(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self.status in TERMINAL

    @property
    def input_token(self) -> Token:
        """The token that is sold."""
        return tokens.TOKENS[self.token_in]

    @property
    def output_token(self) -> Token:
        """The token that is bought."""
        return tokens.TOKENS[self.token_out]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An accepted order before it is stored; `fingerprint` identifies what was asked for, `key` makes it idempotent."""

    id: UUID
    account: str
    idempotency_key: str | None
    fingerprint: bytes
    type: str
    token_in: str
    token_out: str
    amount_in: int
    slippage_bps: int | None
    min_amount_out: int | None
    user_wallet: str
    status: Status
    traceparent: str


class EventType(StrEnum):
    """What an event of an order's history says."""

    STATUS = "status"
    RETRYING = "retrying"
    RECOVERED = "recovered"
    CANCEL_REQUESTED = "cancel_requested"
    LANDED = "landed"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `order_events`; `data` carries what the event brought."""

    order_id: UUID
    seq: int
    type: str
    status: str
    previous_status: str | None
    attempt: int
    at: datetime
    data: Mapping[str, Any]


def timestamp(moment: datetime) -> str:
    """Return the moment as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


# Clients of earlier engines read these at the top level of the event that brings them.
_LIFTED = ("txHash", "executionPrice")


def event_document(event: Event) -> dict[str, Any]:
    """Return the event object of the public interface."""
    document: dict[str, Any] = {
        "type": event.type,
        "orderId": str(event.order_id),
        "seq": event.seq,
        "status": event.status,
        "previousStatus": event.previous_status,
        "attempt": event.attempt,
        "timestamp": timestamp(event.at),
    }
    for name in _LIFTED:
        if name in event.data:
            document[name] = event.data[name]
    document["data"] = event.data
    return document


def event_json(event: Event) -> bytes:
    """Return the event object of the public interface as JSON."""
    return orjson.dumps(event_document(event))
