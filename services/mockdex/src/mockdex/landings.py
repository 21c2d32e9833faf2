"""What has landed lately: statuses by signature, and the details of the newest landings."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from mockdex.transactions import swap_of

if TYPE_CHECKING:
    from mockdex.markets import Markets

FEE_LAMPORTS = 5_000
SLIPPAGE_EXCEEDED = 6001
SIMULATED_FAILURE = 6000
# Statuses are asked for without history search for this many blocks.
REMEMBERED_BLOCKS = 150
_DETAILED = 20_000


class Landing(NamedTuple):
    """A transaction on the chain: a row of storage."""

    number: int
    """its place in the ledger, from 1"""
    signature: str
    slot: int
    block_time: int
    """seconds since 1970"""
    error: int | None
    amount_out: str | None
    record: bytes


class Landings:
    """Recent landings: every status that may be asked for without history, and a bounded number of details."""

    def __init__(self, kept_slots: int) -> None:
        self._kept_slots = kept_slots
        self._statuses: dict[str, tuple[int, int | None]] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._details: dict[str, Landing] = {}

    def add(self, landing: Landing) -> None:
        """Show a landing; it must be committed."""
        self._statuses[landing.signature] = (landing.slot, landing.error)
        self._order.append((landing.slot, landing.signature))
        self._details[landing.signature] = landing
        if len(self._details) > _DETAILED:
            del self._details[next(iter(self._details))]

    def forget(self, slot: int) -> None:
        """Forget the statuses that are too old in a slot; storage still has them."""
        oldest = self.oldest(slot)
        while self._order and self._order[0][0] < oldest:
            del self._statuses[self._order.popleft()[1]]

    def oldest(self, slot: int) -> int:
        """Return the oldest slot whose statuses are kept in a slot."""
        return slot - self._kept_slots

    def status(self, signature: str) -> tuple[int, int | None] | None:
        """Return slot and error of a recent landing."""
        return self._statuses.get(signature)

    def details(self, signature: str) -> Landing | None:
        """Return one of the newest landings."""
        return self._details.get(signature)


def status_json(slot: int, error: int | None) -> dict[str, Any]:
    """Render a value of getSignatureStatuses."""
    err = error_json(error)
    return {
        "slot": slot,
        "confirmations": None,
        "err": err,
        "status": {"Ok": None} if err is None else {"Err": err},
        "confirmationStatus": "finalized",
    }


def error_json(error: int | None) -> dict[str, Any] | None:
    """Render a custom error of the only instruction."""
    return None if error is None else {"InstructionError": [0, {"Custom": error}]}


def ledger_json(landing: Landing, markets: Markets) -> dict[str, Any]:
    """Render a row of the ledger."""
    swap = swap_of(landing.record, markets)
    return {
        "cursor": str(landing.number),
        "slot": landing.slot,
        "signature": landing.signature,
        "error": landing.error,
        "venue": swap.market.venue.name,
        "pool": swap.market.address,
        "inputMint": swap.input_mint,
        "outputMint": swap.output_mint,
        "amountIn": str(swap.amount_in),
        "minimumOut": str(swap.minimum_out),
        "amountOut": landing.amount_out,
        "fee": str(FEE_LAMPORTS),
        "orderId": swap.order_id,
        "attempt": swap.attempt,
    }
