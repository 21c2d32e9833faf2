"""What the engine's ports are given in tests: a store, venues and a chain in memory, all in virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from engine_common.errors import Unreachable
from engine_common.orders import Event, EventType, Order
from engine_common.store.door import Move, Moved, SignedSwap
from engine_common.transitions import Status
from engine_worker.confirmation import Confirmations
from engine_worker.execution import Execution, RetryPolicy
from engine_worker.handlers import Tools
from engine_worker.ports import Blockhash, Height, Landing, Quote, QuoteRequest, SendAnswer, Statuses
from support.orders import POOL, stored_order
from support.virtual_time import VirtualClock

LANDED = Landing(slot=1, error=None)
# The minimum output of 50 bps, which stored_order has.
MINIMUM_OUT, AMOUNT_OUT, PAID = 995, 1_000, 997


def quote(venue: str = "raydium", amount_out: int = AMOUNT_OUT) -> Quote:
    return Quote(venue, POOL, amount_out, fee_amount=25, price_impact_pct="0.01")


@dataclass
class FakeVenue:
    """Gives its answers one after another, the last one for ever."""

    name: str = "raydium"
    answers: list[Quote | Exception] = field(default_factory=list)
    program_id: str = ""
    asked: int = 0

    async def quote(self, request: QuoteRequest) -> Quote:
        del request
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0] if self.answers else quote(self.name)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeChain:
    """A chain whose height grows with virtual time; what lands is what the test says."""

    def __init__(self, block_s: float = 0.4) -> None:
        self.clock = VirtualClock()
        self.block_s = block_s
        self.silent = False
        self.broken: Exception | None = None
        self.forgets = False
        self.landings: dict[str, Landing] = {}
        self.on_send: Callable[[bytes], SendAnswer] = lambda _: SendAnswer.ACCEPTED
        self.sent: list[tuple[float, bytes]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.node_behind_slots = 0
        self.paid = PAID
        self.received_amount_failures: list[Exception] = []

    @property
    def slot(self) -> int:
        """One slot a block; heights lie 100 below."""
        return 100 + int(self.clock.monotonic() / self.block_s)

    def _answer(self, *call: Any) -> None:
        self.calls.append(call)
        if self.silent:
            raise Unreachable("the chain did not answer")
        if self.broken:
            raise self.broken

    async def latest_blockhash(self) -> Blockhash:
        self._answer("latest_blockhash")
        return Blockhash("11111111111111111111111111111111", self.slot - 100 + 150)

    async def send(self, transaction: bytes) -> SendAnswer:
        self.sent.append((self.clock.monotonic(), transaction))
        self._answer("send")
        return self.on_send(transaction)

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        self._answer("search" if search_history else "statuses", len(signatures))
        known = {} if self.forgets and not search_history else self.landings
        return Statuses(self.slot - self.node_behind_slots, [known.get(each) for each in signatures])

    async def height(self) -> Height:
        self._answer("height")
        return Height(self.slot, self.slot - 100)

    async def received_amount(self, signature: str, mint: str, signer: str) -> int:
        del mint
        self._answer("received_amount", signature, signer)
        if self.received_amount_failures:
            raise self.received_amount_failures.pop()
        return self.paid


class FakeSigner:
    """Signs in words: order and attempt can be read in the signature."""

    def __init__(self, owner: str = "wallet of the engine") -> None:
        self.owner = owner
        self.signed: list[SignedSwap] = []

    def signer_of(self, transaction: bytes) -> str:
        return f"signer of {transaction.decode()}"

    def sign(self, order: Order, blockhash: Blockhash) -> SignedSwap:
        signature = f"{order.id}/{order.attempt}"
        swap = SignedSwap(signature, f"bytes of {signature}".encode(), blockhash.last_valid_block_height, self.owner)
        self.signed.append(swap)
        return swap


class FakeStore:
    """One order, kept as the database would keep it: compare-and-set on version, status and epoch."""

    def __init__(self, order: Order) -> None:
        self.stored = replace(order)
        self.attempts: dict[int, SignedSwap] = {}
        self.moves: list[Move] = []
        self.reads = 0
        self.owned = True
        self.lose_replies: list[Status] = []
        self.before_move: Callable[[Move], None] = lambda _: None

    async def move(self, move: Move) -> Moved | None:
        await asyncio.sleep(0)
        self.before_move(move)
        stored = self.stored
        if (move.version, move.source, move.epoch) != (stored.version, stored.status, stored.lease_epoch):
            return None
        self.moves.append(move)
        stopped = stored.cancel_requested_at is not None and move.source is Status.SUBMITTED
        status = Status.CANCELLED if stopped and move.target in (Status.ROUTING, Status.FAILED) else move.target
        moved = Moved(stored.version + 1, VirtualClock().now(), status)
        retrying = status is Status.ROUTING
        if move.swap is not None:
            self.attempts[move.attempt] = move.swap
        self.stored = replace(
            stored,
            status=status,
            version=moved.version,
            attempt=move.attempt if status is move.target else move.attempt_left,
            venue=None if retrying else move.venue or stored.venue,
            pool=None if retrying else move.pool or stored.pool,
            effective_min_amount_out=stored.effective_min_amount_out or move.effective_min_amount_out,
            landed_at=moved.at if move.note is EventType.LANDED else stored.landed_at,
            not_before=None if move.delay_ms is None else moved.at + timedelta(milliseconds=move.delay_ms),
            state_since=moved.at,
            updated_at=moved.at,
        )
        if move.target in self.lose_replies:
            self.lose_replies.remove(move.target)
            return None
        return moved

    async def read_own(self, order_id: UUID) -> Order | None:
        assert order_id == self.stored.id
        self.reads += 1
        return replace(self.stored) if self.owned else None

    async def read_attempt(self, order_id: UUID, attempt: int) -> SignedSwap | None:
        assert order_id == self.stored.id
        return self.attempts.get(attempt)

    @property
    def path(self) -> list[str]:
        """The states that the moves led to."""
        return [move.target.value for move in self.moves if move.note is None]


class Published(list[Event]):
    """An EventSink that remembers."""

    def publish(self, event: Event, account: str, wallet: str) -> None:
        del account, wallet
        self.append(event)


class Steady:
    """Randomness without any: the same point between the bounds every time."""

    def __init__(self, point: float = 0.5) -> None:
        self.point = point
        self.bounds: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append((a, b))
        return a + (b - a) * self.point


class World:
    """One order and everything its execution touches."""

    def __init__(self, order: Order | None = None, *, venues: Sequence[Any] = (), **policy: Any) -> None:
        now = VirtualClock().now()
        order = order or stored_order(state_since=now, created_at=now, updated_at=now)
        self.venues = venues or (FakeVenue("raydium"), FakeVenue("meteora", [quote("meteora", AMOUNT_OUT - 1)]))
        self.chain = FakeChain()
        self.signer = FakeSigner()
        self.store = FakeStore(order)
        self.events = Published()
        self.randomness = Steady()
        self.doubtful = False
        self.lands_after_s = 1.0
        self.lands_with: list[object] = [None]
        self.chain.on_send = self._accept
        tools = Tools(
            VirtualClock(), self.store, self.venues, self.chain, self.signer, Confirmations(self.chain, VirtualClock())
        )
        self.policy = RetryPolicy(**({"max_attempts": 3, "base_ms": 500, "patience_s": 30.0} | policy))
        self.execution = Execution(
            replace(order), tools, self.events, self.policy, self.randomness, lambda: self.doubtful
        )

    def _accept(self, transaction: bytes) -> SendAnswer:
        """Let what is sent land after a while with the next of the given errors, the last one for ever."""
        signature = transaction.decode().removeprefix("bytes of ")
        if signature in self.chain.landings:
            return SendAnswer.ALREADY_PROCESSED
        error = self.lands_with.pop(0) if len(self.lands_with) > 1 else self.lands_with[0]
        asyncio.get_running_loop().call_later(
            self.lands_after_s, self.chain.landings.setdefault, signature, Landing(self.chain.slot, error)
        )
        return SendAnswer.ACCEPTED
