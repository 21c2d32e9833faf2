"""The seams of the engine: what handlers are given, so that the same code runs in production and in simulated time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from engine_common.orders import Event, Order
from engine_common.store.door import Move, Moved, SignedSwap
from engine_common.tokens import Token


class Clock(Protocol):
    """Time, as the handlers see it."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let the given time pass."""
        ...


class Randomness(Protocol):
    """Where jitter comes from."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between a and b."""
        ...


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What a venue is asked, in base units of the input token. Slippage is not its business: the engine limits it."""

    token_in: Token
    token_out: Token
    amount_in: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a venue offers: `amount_out` after fees, in base units of the output token."""

    venue: str
    pool: str
    amount_out: int
    fee_amount: int
    price_impact_pct: str


class Venue(Protocol):
    """One exchange that quotes and swaps."""

    name: str
    program_id: str

    async def quote(self, request: QuoteRequest) -> Quote:
        """Return the venue's offer. Raises NoLiquidity (UnknownPair, AmountTooSmall) or Unreachable."""
        ...


@dataclass(frozen=True, slots=True)
class Blockhash:
    """What makes a transaction valid, and the last block height at which it may land."""

    hash: str
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Height:
    """A finalized block height, and the slot at which it was read."""

    slot: int
    block_height: int


@dataclass(frozen=True, slots=True)
class Landing:
    """A transaction that a node has seen land, with Solana's error or without.

    Only what is `confirmed` counts; what is not yet may still vanish, and yet it is not unknown.
    """

    slot: int
    error: Any
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Statuses:
    """What the chain knew at a slot: a landing, or None, for each signature asked about, in order."""

    slot: int
    landings: Sequence[Landing | None]


class SendAnswer(Enum):
    """What a node said to a transaction; none of it decides an attempt."""

    ACCEPTED = "accepted"
    ALREADY_PROCESSED = "already processed"
    REFUSED = "refused"


class Chain(Protocol):
    """The ledger that judges every attempt. Each method raises Unreachable when there is no usable answer."""

    async def latest_blockhash(self) -> Blockhash:
        """Return a recent blockhash."""
        ...

    async def send(self, transaction: bytes) -> SendAnswer:
        """Hand the signed transaction to the chain."""
        ...

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        """Return what is known of the signatures, any number of them."""
        ...

    async def height(self) -> Height:
        """Return the finalized block height."""
        ...

    async def received_amount(self, signature: str, mint: str, signer: str) -> int:
        """Return the base units of the mint that the landed transaction brought the wallet that signed it."""
        ...


class Signer(Protocol):
    """Makes the transaction of an order's attempt."""

    def sign(self, order: Order, blockhash: Blockhash) -> SignedSwap:
        """Return the signed swap of the order's current attempt through its chosen pool."""
        ...

    def signer_of(self, transaction: bytes) -> str:
        """Return the address of the wallet that signed the transaction, be it this signer's or an earlier one's."""
        ...


class Store(Protocol):
    """The durable truth, as far as one order's execution needs it."""

    async def move(self, move: Move) -> Moved | None:
        """Carry out the move; None when it did not come back, which says nothing about what is stored."""
        ...

    async def read_own(self, order_id: UUID) -> Order | None:
        """Return the order as it stands, if this worker owns it."""
        ...

    async def read_attempt(self, order_id: UUID, attempt: int) -> SignedSwap | None:
        """Return what the attempt committed to send."""
        ...


class EventSink(Protocol):
    """Where events go after their commit; never waits, never fails."""

    def publish(self, event: Event, account: str, wallet: str) -> None:
        """Take the event of an order of the account's wallet."""
        ...
