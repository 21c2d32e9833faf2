"""The shapes of bodies, for the contract; `intake.order_body` and `documents` read and write them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, WithJsonSchema
from pydantic.alias_generators import to_camel

from engine_api import problems
from engine_api.intake.order_body import (
    DECIMAL_PATTERN,
    DEFAULT_SLIPPAGE_BPS,
    DEFAULT_WALLET,
    MAX_SLIPPAGE_BPS,
    MAX_WALLET_LENGTH,
    WALLET_PATTERN,
)
from engine_common import tokens
from engine_common.errors import verdicts
from engine_common.orders import EventType, OrderType
from engine_common.transitions import Status


class Shape(BaseModel):
    """Base of all shapes: names as they stand in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


_TOKEN_NAMES: list[JsonValue] = [name for token in tokens.TOKENS.values() for name in (token.symbol, token.mint)]

TokenName = Annotated[
    str, Field(description="ticker or mint address", examples=["SOL"], json_schema_extra={"enum": _TOKEN_NAMES})
]
Amount = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": DECIMAL_PATTERN},
            ],
            "examples": ["1.5"],
        }
    ),
    Field(description="in units of the token, with no more decimals than the token has; strings are exact everywhere"),
]
Wallet = Annotated[str, Field(pattern=WALLET_PATTERN, max_length=MAX_WALLET_LENGTH, examples=["wallet-1"])]
Decimals = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["1.5"])]
TraceId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Version = Annotated[int, Field(ge=1, description="the `seq` of the order's last event")]
Health = Literal["up", "down"]


_ERROR_CODES: list[JsonValue] = [*sorted(verdict.code for verdict in verdicts())]
_PROBLEM_CODES: list[JsonValue] = [*sorted(kind.code for kind in problems.KINDS)]


class ErrorCode(RootModel[Annotated[str, Field(json_schema_extra={"enum": _ERROR_CODES})]]):
    """Why an order, or one of its attempts, failed."""


class ProblemCode(RootModel[Annotated[str, Field(json_schema_extra={"enum": _PROBLEM_CODES})]]):
    """Which kind of problem a request met."""


class OrderBody(Shape):
    """An order to be placed.

    Clients of earlier engines may spell some names differently: `inputToken`, `outputToken`, `inputAmount`, `userId`.
    """

    type: OrderType | None = OrderType.MARKET
    token_in: TokenName
    token_out: TokenName
    amount_in: Amount
    slippage_bps: Annotated[
        Annotated[int, Field(ge=0, le=MAX_SLIPPAGE_BPS)] | None,
        Field(
            description="how far the swap may pay less than the first quote; with neither this nor `minAmountOut` "
            f"{DEFAULT_SLIPPAGE_BPS} holds, of both the stricter one"
        ),
    ] = None
    min_amount_out: Annotated[
        Amount | None, Field(description="the least output that the user accepts, in units of tokenOut")
    ] = None
    user_wallet: Wallet | None = DEFAULT_WALLET


class FirstMessage(OrderBody):
    """The order that a WebSocket's first message describes, and what a page cannot say in a header."""

    idempotency_key: Annotated[
        str | None, Field(description="works as the header `Idempotency-Key`; where both are given, they are the same")
    ] = None


class Quote(Shape):
    """What a venue offered, or why it offered nothing."""

    venue: str
    amount_out: Decimals | None
    fee_amount: Decimals | None
    price_impact_pct: str | None
    latency_ms: int
    error: str | None


class Routing(Shape):
    """The venues' quotes, and which was chosen why."""

    model_config = ConfigDict(extra="allow")

    chosen: str | None
    reason: str
    quotes: list[Quote]


class OrderDocument(Shape):
    """An order as it stands."""

    order_id: UUID
    status: Status
    type: OrderType
    token_in: str
    token_out: str
    amount_in: Decimals
    slippage_bps: Annotated[int | None, Field(description="null where the order names only a minimum output")]
    min_amount_out: Annotated[Decimals | None, Field(description="the user's own minimum output, if there is one")]
    effective_min_amount_out: Annotated[
        Decimals | None, Field(description="the minimum output in force; null before the first route")
    ]
    user_wallet: Wallet
    venue: str | None
    amount_out: Decimals | None
    execution_price: Annotated[Decimals | None, Field(description="tokenOut per tokenIn, 12 significant digits")]
    tx_hash: str | None
    attempt: int
    error_code: ErrorCode | None
    error_reason: str | None
    version: Version
    trace_id: TraceId
    routing: Routing | None
    cancel_requested_at: Annotated[
        datetime | None,
        Field(description="when its owner asked to cancel it after it was submitted: no further attempt begins"),
    ]
    landed_at: Annotated[
        datetime | None,
        Field(description="since when its swap is known to have landed while no node shows what it paid"),
    ]
    created_at: datetime
    updated_at: datetime


class EventDocument(Shape):
    """One event of an order's history."""

    model_config = ConfigDict(extra="allow")

    type: EventType
    order_id: UUID
    seq: Annotated[int, Field(ge=1)]
    status: Status
    previous_status: Status | None
    attempt: int
    timestamp: datetime
    data: Annotated[dict[str, Any], Field(description="what the event brings")]
    tx_hash: Annotated[str, Field(description="also at the top level of the event that brings it")] = ""
    execution_price: Annotated[str, Field(description="also at the top level of the event that brings it")] = ""


class OrderPage(Shape):
    """Orders, newest first."""

    data: list[OrderDocument]
    next_cursor: Annotated[str | None, Field(description="for the next page; null on the last")]


class History(Shape):
    """All events of an order, in order."""

    data: list[EventDocument]


class FieldProblem(Shape):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(Shape):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Field(json_schema_extra={"format": "uri"})]
    title: str
    status: int
    detail: str
    code: ProblemCode
    retryable: Annotated[bool, Field(description="whether the same request may succeed later")]
    trace_id: TraceId | None
    request_id: Annotated[str | None, Field(description="the answer's X-Request-ID")]
    errors: list[FieldProblem] = []
    order_id: Annotated[str, Field(description="with `outcome_unknown`: the order that may exist")] = ""


class Alive(Shape):
    """The process lives."""

    status: Literal["up"]


class Readiness(Shape):
    """Whether orders can be taken, and how the dependencies are."""

    status: Health
    postgres: Health
    redis: Health


class Report(Readiness):
    """How the process and its dependencies are."""

    version: str
