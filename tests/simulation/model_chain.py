"""A chain of blocks and what its nodes tell: transactions that land once, late, with an error, on a fork or never."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from engine_common.orders import Order
from engine_common.store.door import SignedSwap
from engine_worker.ports import Blockhash, Height, Landing, SendAnswer, Statuses
from simulation.plan import BLOCK_S, Dropped, Fate, Plan, Vanishing

# As on Solana a slot's number is larger than the height of the block in it, so that mixing them up shows.
_SLOTS_AHEAD = 1_000
AMOUNT_OUT = 1_000_000
_SLIPPAGE_EXCEEDED = 6001
# How long a processed landing takes to be confirmed, as a share of the blocks to finality.
_CONFIRMED_AT = 0.5


@dataclass(frozen=True, slots=True)
class Swap:
    """What a transaction of the simulation asks for; `order` is the order's number in the plan."""

    order: int
    attempt: int
    minimum: int
    last_valid_height: int
    signer: str


@dataclass(slots=True)
class Accepted:
    """A transaction that a node keeps: `lands_at` in seconds, None for never; `paid` in base units."""

    signature: str
    swap: Swap
    lands_at: float | None
    error: int | None
    paid: int
    vanishing: tuple[float, float, int | None] | None = None


class SimulatedSigner:
    """Signs in words: as with Ed25519 the signature follows from the bytes, and the bytes from order and attempt.

    Every life of a worker has a wallet of its own, as if the key had been rotated.
    """

    def __init__(self, chain: "ModelChain", owner: str) -> None:
        self._chain = chain
        self.owner = owner

    def sign(self, order: Order, blockhash: Blockhash) -> SignedSwap:
        number = self._chain.numbers[order.user_wallet]
        height = blockhash.last_valid_block_height
        text = orjson.dumps((number, order.attempt, order.effective_min_amount_out, height, self.owner))
        return SignedSwap(f"tx{text.decode()}", text, height, self.owner)

    def signer_of(self, transaction: bytes) -> str:
        _, swap = read_transaction(transaction)
        return swap.signer


def read_transaction(transaction: bytes) -> tuple[str, Swap]:
    """Return the transaction's signature and what it asks for."""
    return f"tx{transaction.decode()}", Swap(*orjson.loads(transaction))


class ModelChain:
    """The truth, and what a node that is up to date or behind shows of it. Times are seconds of simulated time."""

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        self._plan = plan
        self._counts = counts
        self.numbers: dict[str, int] = {}
        self.accepted: dict[str, Accepted] = {}
        self._prices: list[tuple[float, int]] = sorted((f.at, f.thousandths) for f in plan.faults if f.kind == "price")
        self._fates: dict[tuple[int, int], Fate] = {
            (f.order, f.attempt): f for f in reversed(plan.faults) if f.kind == "fate"
        }
        self._vanishing: dict[tuple[int, int], Vanishing] = {
            (f.order, f.attempt): f for f in reversed(plan.faults) if f.kind == "vanishing"
        }
        self._drops: Counter[tuple[int, int]] = Counter()
        for fault in plan.faults:
            if isinstance(fault, Dropped):
                self._drops[fault.order, fault.attempt] += fault.times
        self._finality_s = plan.finality_blocks * BLOCK_S
        self._confirmed_s = self._finality_s * _CONFIRMED_AT

    # --- The truth -----------------------------------------------------------------------------------------------

    def height_at(self, at: float) -> int:
        """Return the height of the block that a moment belongs to; everything below it has landed."""
        return 1 + max(0, int(at / BLOCK_S + 1e-9))

    def slot_at(self, at: float) -> int:
        """Return the slot of that block."""
        return self.height_at(at) + _SLOTS_AHEAD

    def out_at(self, at: float) -> int:
        """Return what the pools pay for an order, in base units: less and less, as if everybody bought."""
        thousandths = next((share for since, share in reversed(self._prices) if since <= at), 1_000)
        return AMOUNT_OUT * thousandths // 1_000 - int(at)

    def landed(self) -> list[Accepted]:
        """Return everything that has landed or will."""
        return [each for each in self.accepted.values() if each.lands_at is not None]

    # --- What nodes say ------------------------------------------------------------------------------------------

    def latest_blockhash(self, at: float) -> Blockhash:
        height = self.height_at(at)
        return Blockhash(f"hash {height}", height + self._plan.valid_blocks - 1)

    def height(self, at: float) -> Height:
        finalized = max(0.0, at - self._finality_s)
        return Height(self.slot_at(finalized), self.height_at(finalized))

    def send(self, transaction: bytes, at: float) -> SendAnswer:
        signature, swap = read_transaction(transaction)
        known = self.accepted.get(signature)
        if known is not None and self._seen(known, at) is not None:
            self._counts["send: already processed"] += 1
            return SendAnswer.ALREADY_PROCESSED
        if self.height_at(at) > swap.last_valid_height:
            self._counts["send: expired"] += 1
            return SendAnswer.REFUSED
        if known is not None:
            return SendAnswer.ACCEPTED
        attempt = (swap.order, swap.attempt)
        if self._drops[attempt] > 0:
            self._drops[attempt] -= 1
            self._counts["send: dropped"] += 1
            return SendAnswer.ACCEPTED
        self.accepted[signature] = self._accept(signature, swap, at)
        return SendAnswer.ACCEPTED

    def _accept(self, signature: str, swap: Swap, at: float) -> Accepted:
        fate = self._fates.get((swap.order, swap.attempt)) or Fate("fate", swap.order, swap.attempt, "lands")
        end = swap.last_valid_height * BLOCK_S
        lands_at: float | None = at + fate.after_s
        if fate.how == "last block":
            lands_at = end - 0.001
            self._counts["fate: lands at its last valid height"] += 1
        if fate.how == "never" or at + fate.after_s >= end:
            lands_at = lands_at if fate.how == "last block" else None
        if lands_at is None:
            self._counts["fate: never lands"] += 1
            return Accepted(signature, swap, None, None, 0, self._vanish(swap, at))
        paid, error = self.out_at(lands_at), fate.error
        if error is None and paid < swap.minimum:
            error = _SLIPPAGE_EXCEEDED
        self._counts[f"fate: lands with error {error}" if error else "fate: lands"] += 1
        vanishing = self._vanish(swap, at)
        if vanishing is not None:
            # What was seen on a fork lands after that fork has vanished.
            lands_at = max(lands_at, vanishing[1])
            if lands_at >= end:
                lands_at = None
        return Accepted(signature, swap, lands_at, error, paid, vanishing)

    def _vanish(self, swap: Swap, at: float) -> tuple[float, float, int | None] | None:
        fault = self._vanishing.get((swap.order, swap.attempt))
        if fault is None or not self._finality_s:
            return None
        since = at + fault.after_s
        # A fork is gone by the time its blocks would have been confirmed.
        until = since + self._confirmed_s
        return (since, until, fault.error) if until < swap.last_valid_height * BLOCK_S else None

    def _seen(self, known: Accepted, at: float) -> Landing | None:
        """Return what a node that is as far as `at` shows of a transaction."""
        if known.lands_at is not None and known.lands_at <= at:
            confirmed = known.lands_at + self._confirmed_s <= at
            return Landing(self.slot_at(known.lands_at), error_of(known.error), confirmed)
        if known.vanishing is not None:
            since, until, error = known.vanishing
            if since <= at < until:
                self._counts["status: on a fork that vanishes"] += 1
                return Landing(self.slot_at(since), error_of(error), confirmed=False)
        return None

    def statuses(self, signatures: Sequence[str], at: float, now: float, *, search_history: bool) -> Statuses:
        """Return what a node that is as far as `at` tells; `now` is only for the counters."""
        slot = self.slot_at(at)
        oldest = 0 if search_history else slot - self._plan.remembered_blocks
        landings: list[Landing | None] = []
        for signature in signatures:
            known = self.accepted.get(signature)
            landing = None if known is None else self._seen(known, at)
            if landing is not None and landing.slot < oldest:
                self._counts["status: forgotten without history"] += 1
                landing = None
            if landing is not None and not landing.confirmed:
                self._counts["status: not confirmed"] += 1
            if landing is None and search_history and known is not None and self._seen(known, now) is not None:
                self._counts["search: null from a node behind, of what has landed"] += 1
            landings.append(landing)
        return Statuses(slot, landings)

    def received_amount(self, signature: str, signer: str, at: float) -> int | None:
        """Return what the transaction brought the wallet; None while the node knows of no confirmed landing."""
        known = self.accepted.get(signature)
        landing = None if known is None else self._seen(known, at)
        if known is None or landing is None or not landing.confirmed:
            return None
        return known.paid if known.swap.signer == signer else 0


def error_of(error: int | None) -> object:
    """Return the error as Solana writes it; one that is no custom error for 0."""
    if error is None:
        return None
    return {"InstructionError": [0, {"Custom": error}]} if error else "InvalidAccountForFee"
