"""The chain: accepts transactions, and lands each once, in its block, with its fate."""

from __future__ import annotations

import time
from enum import IntEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

import orjson

from mockdex.blocks import slot_of
from mockdex.curves import InsufficientLiquidity
from mockdex.landings import SIMULATED_FAILURE, SLIPPAGE_EXCEEDED, Landing
from mockdex.storage import Position
from mockdex.transactions import open_transaction, swap_of

if TYPE_CHECKING:
    from asyncio import Future

    from mockdex.blocks import Blockhashes, ChainTime
    from mockdex.faults import Faults
    from mockdex.landings import Landings
    from mockdex.markets import Market, Markets
    from mockdex.storage import Storage
    from mockdex.transactions import SignedSwap
    from mockdex.tuning import Tuning


class AlreadyProcessed(Exception):
    """The transaction has landed, successfully or not."""


class BlockhashNotFound(Exception):
    """The transaction's blockhash is unknown or too old."""


class Fate(IntEnum):
    """What becomes of an accepted transaction, drawn once and kept."""

    LANDS = 0
    FAILS = 1
    NEVER_LANDS = 2


class InFlight:
    """An accepted transaction that has neither landed nor expired."""

    __slots__ = ("committed", "due_ms", "encoded", "fate", "last_valid_height", "number", "record", "signature")

    def __init__(
        self,
        number: int,
        signature: str,
        due_ms: int,
        last_valid_height: int,
        fate: int,
        record: bytes,
        *,
        encoded: str | None = None,
        committed: Future[None] | None = None,
    ) -> None:
        self.number = number
        self.signature = signature
        self.due_ms = due_ms
        """chain time at which it lands, if it is valid then"""
        self.last_valid_height = last_valid_height
        self.fate = fate
        self.record = record
        self.encoded = encoded
        self.committed = committed


class Sent(NamedTuple):
    """What sending came to."""

    signature: str
    committed: Future[None] | None
    """to be awaited before the answer; None: nothing was accepted"""
    reply_lost: bool = False


class Turn(NamedTuple):
    """What one turn of the chain has settled, to be shown once it is committed."""

    height: int
    landed: list[Landing]
    settled: list[InFlight]
    committed: Future[None]


class Chain:
    """In-memory state over storage. Nothing here waits: commits are futures, time is handed in by whoever drives it."""

    def __init__(
        self,
        *,
        storage: Storage,
        markets: Markets,
        faults: Faults,
        tuning: Tuning,
        chain_time: ChainTime,
        blockhashes: Blockhashes,
        landings: Landings,
        height: int,
        next_number: int,
        landed_count: int,
    ) -> None:
        self._storage = storage
        self._markets = markets
        self._faults = faults
        self._tuning = tuning
        self.time = chain_time
        self._blockhashes = blockhashes
        self.landings = landings
        self.height = height
        """the height that is reported: everything in the blocks below it is committed and visible"""
        self._written_height = 0
        self._next_number = next_number
        self._executed_count = landed_count
        self.landed_count = landed_count
        self.in_flight: dict[str, InFlight] = {}
        self._encoded: dict[str, InFlight] = {}
        self._events: list[tuple[int, int, InFlight]] = []
        blockhashes.advance(height)
        storage.position = self._position

    @property
    def slot(self) -> int:
        """The slot of the reported height."""
        return slot_of(self.height)

    def latest_blockhash(self) -> tuple[str, int]:
        """Return the newest blockhash and its last valid height."""
        return self._blockhashes.at(self.height)

    def next_event_ms(self) -> int:
        """Return the chain time of the next thing to do: a due transaction or a new block."""
        block = self.time.start_of(max(self.height, self._written_height) + 1)
        return min(block, self._events[0][0]) if self._events else block

    def send(self, encoded: str) -> Sent:
        """Accept a transaction in base64, unless it is accepted already.

        Raises NotASwap, SignatureInvalid, BlockhashNotFound, AlreadyProcessed.
        """
        known = self._encoded.get(encoded)
        if known is not None and known.last_valid_height >= self.height:
            return Sent(known.signature, known.committed)
        transaction = open_transaction(encoded, self._markets)
        height = self._blockhashes.height_of(transaction.blockhash)
        if height is None or self._blockhashes.last_valid(height) < self.height:
            raise BlockhashNotFound
        # Whatever was accepted with a blockhash that is still valid is in flight or among the recent landings.
        if self.landings.status(transaction.signature) is not None:
            raise AlreadyProcessed
        known = self.in_flight.get(transaction.signature)
        if known is not None:
            return Sent(known.signature, known.committed)
        venue = transaction.market.venue.name
        if self._faults.strikes("drop_rate", venue):
            return Sent(transaction.signature, None)
        accepted = self._accept(transaction, encoded, self._blockhashes.last_valid(height))
        return Sent(transaction.signature, accepted.committed, self._faults.strikes("reply_lost_rate", venue))

    def _accept(self, transaction: SignedSwap, encoded: str, last_valid_height: int) -> InFlight:
        due_ms, fate = self._draw_fate(transaction.market, last_valid_height)
        row = (self._next_number, transaction.signature, due_ms, last_valid_height, fate, transaction.record)
        self._next_number += 1
        self._storage.changes.accepted.append(row)
        accepted = InFlight(*row, encoded=encoded, committed=self._storage.commit())
        self.restore(accepted)
        return accepted

    def restore(self, accepted: InFlight) -> None:
        """Carry an accepted transaction."""
        self.in_flight[accepted.signature] = accepted
        if accepted.encoded is not None:
            self._encoded[accepted.encoded] = accepted
        expiry_ms = self.time.start_of(accepted.last_valid_height + 1)
        when = expiry_ms if accepted.fate == Fate.NEVER_LANDS else min(accepted.due_ms, expiry_ms)
        heappush(self._events, (when, accepted.number, accepted))

    def _draw_fate(self, market: Market, last_valid_height: int) -> tuple[int, Fate]:
        faults, venue = self._faults, market.venue.name
        due_ms = self.time.now() + faults.delay_ms("execution_delay_ms", venue)
        if faults.strikes("late_landing_rate", venue):
            left_ms = max(self.time.start_of(last_valid_height + 1) - due_ms, 0)
            due_ms += left_ms * (750 + faults.draw("late_landing", venue) % 250) // 1000
        if faults.strikes("never_lands_rate", venue):
            return due_ms, Fate.NEVER_LANDS
        fails = bool(self._tuning.value("force_fail", venue)) or faults.strikes("failure_rate", venue)
        return due_ms, Fate.FAILS if fails else Fate.LANDS

    def turn(self) -> Turn | None:
        """Settle what is due by now and open the blocks that have begun; None when there is nothing to do.

        The landings, the pools that they moved and the new height are committed together.
        """
        now = self.time.now()
        height = max(self.time.height_at(now), self.height)
        settled: list[InFlight] = []
        landed: list[Landing] = []
        moved: set[Market] = set()
        while self._events and self._events[0][0] <= now:
            when, _, event = heappop(self._events)
            settled.append(event)
            # After a restart something may be overdue; the blocks below the reported height are closed.
            block = max(self.time.height_at(when), self.height)
            if event.fate != Fate.NEVER_LANDS and block <= event.last_valid_height:
                landed.append(self._land(event, slot_of(block), moved))
        if not settled and height <= self._written_height:
            return None
        self._written_height = height
        changes = self._storage.changes
        changes.pools.update((market.key, _pool_row(market)) for market in moved)
        changes.landed.extend(landed)
        changes.settled.extend((event.number,) for event in settled)
        return Turn(height, landed, settled, self._storage.commit())

    def show(self, turn: Turn) -> None:
        """Make a committed turn visible."""
        for landing in turn.landed:
            self.landings.add(landing)
        for event in turn.settled:
            del self.in_flight[event.signature]
            if event.encoded is not None:
                self._encoded.pop(event.encoded, None)
        self.landed_count += len(turn.landed)
        if turn.height > self.height:
            self.height = turn.height
            self._blockhashes.advance(turn.height)
            self.landings.forget(slot_of(turn.height))

    def _position(self) -> Position:
        """Return where the chain is, to be committed with whatever is committed next."""
        height = max(self.height, self._written_height)
        return Position(height, self.time.now(), self._next_number, orjson.dumps(self._faults.drawn).decode())

    def _land(self, event: InFlight, slot: int, moved: set[Market]) -> Landing:
        error, amount_out = self._execute(event, slot, moved)
        self._executed_count += 1
        paid = None if amount_out is None else str(amount_out)
        return Landing(self._executed_count, event.signature, slot, int(time.time()), error, paid, event.record)

    def _execute(self, event: InFlight, slot: int, moved: set[Market]) -> tuple[int | None, int | None]:
        if event.fate == Fate.FAILS:
            return SIMULATED_FAILURE, None
        swap = swap_of(event.record, self._markets)
        market = swap.market
        try:
            fill = market.book(slot).fill(swap.amount_in, x_to_y=swap.x_to_y)
        except InsufficientLiquidity:
            return SLIPPAGE_EXCEEDED, None
        if fill.amount_out < swap.minimum_out:
            return SLIPPAGE_EXCEEDED, None
        market.settle(slot, fill)
        moved.add(market)
        return None, fill.amount_out


def _pool_row(market: Market) -> tuple[bytes, int, str]:
    # As text: base units may be beyond the 64 bits of SQLite and of JSON's integers.
    displacement = orjson.dumps([str(part) for part in market.displacement]).decode()
    return market.key, market.displaced_at, displacement
