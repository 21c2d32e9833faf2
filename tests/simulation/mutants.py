"""Engines with a bug planted by composition: the search must find each, or it finds nothing.

The first four are those that the rules of exactness were written against; the others each break one more rule.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import errors

from engine_common.errors import TransactionExpired, UnexpectedError
from engine_common.orders import Order
from engine_common.store.door import Move, SignedSwap, from_order
from engine_common.transitions import Status
from engine_worker.confirmation import Confirmations
from engine_worker.execution import Execution
from engine_worker.handlers import HANDLERS, Tools, confirm, route
from engine_worker.ports import Blockhash, Chain, Height, SendAnswer, Statuses
from simulation.model_tables import OrderRow, Parameters
from simulation.observed_database import ObservedDatabase
from simulation.worker import Make


@dataclass(frozen=True)
class Mutant:
    """A bug: what it is, the engine that has it, and the kinds of violation that it shows itself by."""

    bug: str
    make: Make
    shows_as: tuple[str, ...]


_LANDED = ("doubled", "unexplained", "verdict")

# --- The four ---------------------------------------------------------------------------------------------------


async def _send_then_commit(order: Order, _swap: SignedSwap | None, tools: Tools) -> Move:
    swap = tools.signer.sign(order, await tools.chain.latest_blockhash())
    await tools.chain.send(swap.transaction)
    return from_order(order, Status.SUBMITTED, swap=swap, data={"txHash": swap.signature})


_PATIENCE_WITH_A_SWAP_S = 2.0


async def _give_up_on_the_chain(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    try:
        async with asyncio.timeout(_PATIENCE_WITH_A_SWAP_S):
            return await confirm(order, swap, tools)
    except TimeoutError:
        raise TransactionExpired("it has taken too long") from None


class _AnyNode:
    """A chain whose slots are not compared: every status is as good as the newest."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def latest_blockhash(self) -> Blockhash:
        return await self._chain.latest_blockhash()

    async def send(self, transaction: bytes) -> SendAnswer:
        return await self._chain.send(transaction)

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        statuses = await self._chain.statuses(signatures, search_history=search_history)
        return replace(statuses, slot=2**62)

    async def height(self) -> Height:
        return await self._chain.height()

    async def received_amount(self, signature: str, mint: str, signer: str) -> int:
        return await self._chain.received_amount(signature, mint, signer)


class _WithoutEpoch(ObservedDatabase):
    """A database whose compare-and-set leaves the epoch out."""

    def fits(self, row: OrderRow, move: Parameters) -> bool:
        return (row.version, row.status) == (move["version"], move["source"])


# --- More of them -----------------------------------------------------------------------------------------------


class _UnconfirmedCounts(_AnyNode):
    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        statuses = await self._chain.statuses(signatures, search_history=search_history)
        landings = [landing and replace(landing, confirmed=True) for landing in statuses.landings]
        return Statuses(statuses.slot, landings)


class _SearchBeforeHeight(Confirmations):
    """Asks for statuses first and for the height afterwards, and so has no slot to compare with."""

    async def _find_expired(self) -> None:
        early = dict.fromkeys(self._watched)
        statuses = await self._chain.statuses(list(early), search_history=True)
        known = dict(zip(early, statuses.landings, strict=True))
        height = await self._chain.height()
        for signature, watched in self._watched.items():
            landing = known.get(signature, False)
            if watched.landed.done() or landing is False:
                continue
            if landing is not None and landing.confirmed:
                watched.landed.set_result(landing)
            elif landing is None and watched.swap.last_valid_block_height < height.block_height:
                watched.landed.set_exception(TransactionExpired("not found before the height passed"))


class _NoHistory(_AnyNode):
    """Takes a status that a node has forgotten for one that never was."""

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        del search_history
        return await self._chain.statuses(signatures, search_history=False)


async def _sign_anew(order: Order, _swap: SignedSwap | None, tools: Tools) -> Move:
    swap = _swap or tools.signer.sign(order, await tools.chain.latest_blockhash())
    return await confirm(order, swap, tools)


async def _forget_minimum(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    return await route(replace(order, effective_min_amount_out=None), swap, tools)


class _MinimumOfTheLastRoute(ObservedDatabase):
    def _carry_out(self, row: OrderRow, move: Parameters, now: datetime) -> None:
        row.effective_min_amount_out = move.get("effective_min_amount_out") or row.effective_min_amount_out
        super()._carry_out(row, move, now)


async def _accept_any_output(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    return replace(await route(order, swap, tools), effective_min_amount_out=1)


async def _ignore_slippage(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    return await route(replace(order, slippage_bps=None), swap, tools)


async def _read_for_the_own_wallet(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    kept = swap or await tools.store.read_attempt(order.id, order.attempt)
    return await confirm(order, kept and replace(kept, signer=tools.signer.owner), tools)


class _ForgetsCancelRequests(ObservedDatabase):
    """A judgement that lets an order be tried again although its owner has cancelled it."""

    def stopped(self, row: OrderRow, move: Parameters) -> bool:
        del row, move
        return False


class _SignedAmounts(ObservedDatabase):
    """Columns that hold only half of what an amount of the chain may be."""

    def _check_order(self, row: OrderRow, move: Parameters) -> None:
        if (move.get("amount_out") or 0) >= 2**63:
            raise errors.NumericValueOutOfRange("bigint out of range")
        super()._check_order(row, move)


class _EndsNothingThatBegan(Execution):
    """An execution that ends an attempt that never began when its beginning is refused, as the engine once did."""

    def _instead_of(self, move: Move) -> Iterator[Move]:
        if move.outcome is None and self.order.status is not Status.SUBMITTED:
            yield self._ending(UnexpectedError("refused"))


class _ReleaseKeepsTheEpoch(ObservedDatabase):
    """A release that does not fence what its worker has still on its way."""

    def _release(self, parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        released = [row for row in self.orders.values() if row.worker_id == parameters["worker_id"]]
        answer = super()._release(parameters)
        for row in released:
            row.lease_epoch -= row.worker_id is None
        return answer

    def on_moved(self, row: OrderRow, move: Parameters) -> None:
        if row.worker_id is None and row.lease_epoch and self._world.acting != "api":
            what = f"{self._world.acting} wrote order {self._world.number(row.id)}, which it had released"
            self._world.violate("superseded write", what)
        super().on_moved(row, move)


class _OneSidedHeartbeats(ObservedDatabase):
    """A heartbeat from the future is fresh for as long as the clock takes to get there."""

    def fresh(self, beat: datetime, lease_s: float) -> bool:
        return beat > self._now() - timedelta(seconds=lease_s)


class _NobodyIsSwept(ObservedDatabase):
    """A sweep that finds nothing of the dead."""

    def recoverable(self, row: OrderRow, lease_s: float) -> bool:
        return row.worker_id is None and super().recoverable(row, lease_s)


class _ComparesNothing(ObservedDatabase):
    """A comparison that never finds an order whose claim's reply was lost."""

    def _read_owned(self, parameters: Parameters) -> list[tuple[UUID, int]]:
        del parameters
        return []


def _handling(status: Status, handler: Any) -> Make:
    handlers: Mapping[Status, Any] = {**HANDLERS, status: handler}
    return Make(handlers=handlers)


THE_FOUR: Mapping[str, Mutant] = {
    "send-before-commit": Mutant(
        "the transaction is sent before its attempt is committed",
        _handling(Status.BUILDING, _send_then_commit),
        ("sent before its commit",),
    ),
    "retry-without-asking": Mutant(
        "a new attempt begins after a time-out, without asking the chain",
        _handling(Status.SUBMITTED, _give_up_on_the_chain),
        _LANDED,
    ),
    "null-from-a-node-behind": Mutant("a null status counts from whatever slot", Make(chain=_AnyNode), _LANDED),
    "write-without-epoch": Mutant(
        "the compare-and-set leaves the epoch out", Make(database=_WithoutEpoch), ("superseded write",)
    ),
}

OTHERS: Mapping[str, Mutant] = {
    "unconfirmed-counts": Mutant(
        "a landing counts that is not confirmed",
        Make(chain=_UnconfirmedCounts),
        (*_LANDED, "lost"),
    ),
    "search-before-height": Mutant(
        "the history is searched before the height is read",
        Make(confirmations=_SearchBeforeHeight),
        _LANDED,
    ),
    "no-history": Mutant("statuses are asked for without the history", Make(chain=_NoHistory), _LANDED),
    "sign-anew": Mutant(
        "a recovered submission is signed anew", _handling(Status.SUBMITTED, _sign_anew), ("sent before its commit",)
    ),
    "floor-not-kept": Mutant(
        "each attempt takes the minimum output of its own route",
        replace(_handling(Status.ROUTING, _forget_minimum), database=_MinimumOfTheLastRoute),
        ("floor",),
    ),
    "lax-floor": Mutant(
        "a swap may pay anything, as if a venue decided", _handling(Status.ROUTING, _accept_any_output), ("floor",)
    ),
    "slippage-ignored": Mutant(
        "a user's minimum output switches the slippage limit off",
        _handling(Status.ROUTING, _ignore_slippage),
        ("floor",),
    ),
    "rotated-wallet": Mutant(
        "what a swap paid is read for the wallet of the worker that reads",
        _handling(Status.SUBMITTED, _read_for_the_own_wallet),
        ("stuck",),
    ),
    "signed-amounts": Mutant("amounts are kept as signed 64-bit integers", Make(database=_SignedAmounts), ("stuck",)),
    "cancel-forgotten": Mutant(
        "an order is tried again after its owner has cancelled it",
        Make(database=_ForgetsCancelRequests),
        ("cancel forgotten",),
    ),
    "refusal-wedges": Mutant(
        "a refused beginning ends an attempt that never began", Make(execution=_EndsNothingThatBegan), ("stuck",)
    ),
    "release-without-epoch": Mutant(
        "a release leaves the epoch as it is", Make(database=_ReleaseKeepsTheEpoch), ("superseded write",)
    ),
    "nobody-is-swept": Mutant("the dead keep their orders", Make(database=_NobodyIsSwept), ("stuck",)),
    "one-sided-heartbeat": Mutant(
        "a heartbeat from the future is fresh", Make(database=_OneSidedHeartbeats), ("stuck",)
    ),
    "nothing-compared": Mutant(
        "a claim whose reply was lost is not picked up", Make(database=_ComparesNothing), ("stuck",)
    ),
}

MUTANTS: Mapping[str, Mutant] = {**THE_FOUR, **OTHERS}
