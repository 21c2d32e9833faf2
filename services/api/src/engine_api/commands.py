"""Transitions that clients ask for: read, compare and set, and on a miss read and decide anew."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from engine_api import measurements
from engine_api.backlog import Backlog
from engine_api.enqueuing import Enqueuer
from engine_api.order_book import OrderBook
from engine_api.problems import ALREADY_FINISHED, CONTENDED, OUTCOME_UNKNOWN, Refusal
from engine_common.errors import OutcomeUnknown
from engine_common.live import Publisher
from engine_common.orders import EventType, Order
from engine_common.store import door
from engine_common.store.door import Move, Moved
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import TROUBLE
from engine_common.telemetry import tracing
from engine_common.telemetry.logs import log
from engine_common.telemetry.tracing import TraceContext
from engine_common.transitions import Status

_TRIES = 5

Moves = GroupCommit[Move, Moved | None]

# What an order as it stands needs, so that it is as the client wants it: a move, or nothing. Raises Refusal.
Decide = Callable[[Order], Move | None]


class Commands:
    """Queues pending orders, and cancels those that have not been submitted."""

    def __init__(
        self,
        orders: OrderBook,
        moves: Moves,
        enqueuer: Enqueuer,
        publisher: Publisher,
        backlog: Backlog,
        patience_s: float,
    ) -> None:
        self._orders = orders
        self._moves = moves
        self._enqueuer = enqueuer
        self._publisher = publisher
        self._backlog = backlog
        self._patience_s = patience_s

    async def execute(self, account: str, order_id: UUID) -> Order:
        """Queue the account's order unless it is on its way already, and return it. Raises Refusal."""
        return await self._carry_out(account, order_id, _queue)

    async def cancel(self, account: str, order_id: UUID) -> Order:
        """Cancel the account's order unless that was done already, and return it. Raises Refusal.

        Whichever of this and the worker's `submitted` commits first wins: what may have been sent cannot be cancelled.
        Of a submitted order the request is kept: the chain decides the attempt, and no further one begins.
        """
        return await self._carry_out(account, order_id, _cancel)

    async def _carry_out(self, account: str, order_id: UUID, decide: Decide) -> Order:
        move: Move | None = None
        for _ in range(_TRIES):
            order = await self._read(account, order_id, move)
            move = decide(order)
            if move is None:
                return order
            moved = await self._commit(move)
            if moved is not None:
                return self._announce(order, move, moved)
        raise Refusal(CONTENDED, f"order {order_id} kept changing under this request")

    async def _read(self, account: str, order_id: UUID, tried: Move | None) -> Order:
        """Read the order; a move that was tried and found nothing may be the one that landed, its reply lost."""
        try:
            return await self._orders.read(account, order_id)
        except TROUBLE:
            if tried is None:
                raise
            raise _outcome_unknown(tried) from None

    async def _commit(self, move: Move) -> Moved | None:
        try:
            if move.target is not Status.QUEUED:
                return await self._moves.submit(move, within_s=self._patience_s)
            with self._backlog.admitting():
                return await self._moves.submit(move, within_s=self._patience_s)
        except OutcomeUnknown:
            raise _outcome_unknown(move) from None

    def _announce(self, order: Order, move: Move, moved: Moved) -> Order:
        """Tell the world of the move that is stored, and return the order as it now stands."""
        if move.target is Status.QUEUED:
            self._enqueuer.enqueue(order.id, tracing.current() or TraceContext.new())
        elif moved.status is Status.CANCELLED and move.note is None:
            measurements.count_cancelled()
            total_s = round((moved.at - order.created_at).total_seconds(), 3)
            log.info("order.cancelled", source=order.status, attempt=order.attempt, total_s=total_s)
        elif move.note is not None:
            log.info("order.cancel_requested", status=order.status, attempt=order.attempt)
        self._publisher.publish(move.event(moved), order.account, order.user_wallet)
        if move.note is not None:
            return replace(order, version=moved.version, cancel_requested_at=moved.at, updated_at=moved.at)
        return replace(order, status=move.target, version=moved.version, state_since=moved.at, updated_at=moved.at)


def _queue(order: Order) -> Move | None:
    if order.terminal:
        raise _already_finished(order)
    return door.from_order(order, Status.QUEUED) if order.status is Status.PENDING else None


def _cancel(order: Order) -> Move | None:
    if order.status is Status.CANCELLED:
        return None
    if order.terminal:
        raise _already_finished(order)
    if order.status is Status.SUBMITTED:
        return None if order.cancel_requested_at is not None else door.note(order, EventType.CANCEL_REQUESTED, {})
    # Only what a worker has begun is an attempt that ends here.
    begun = order.status not in (Status.PENDING, Status.QUEUED)
    return door.from_order(order, Status.CANCELLED, outcome="cancelled" if begun else None)


def _outcome_unknown(move: Move) -> Refusal:
    return Refusal(
        OUTCOME_UNKNOWN,
        f"the database did not answer in time, and the order may have been {move.target}: repeating this is safe",
        retryable=True,
        members={"orderId": str(move.order_id)},
    )


def _already_finished(order: Order) -> Refusal:
    return Refusal(ALREADY_FINISHED, f"order {order.id} is {order.status} already")
