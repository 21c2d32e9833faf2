"""Transitions that clients ask for: read, compare and set, and on a miss read and decide anew."""

from dataclasses import replace
from uuid import UUID

from engine_api.enqueuing import Enqueuer
from engine_api.order_book import OrderBook
from engine_api.problems import ALREADY_FINISHED, CONTENDED, OUTCOME_UNKNOWN, Refusal
from engine_common.errors import OutcomeUnknown
from engine_common.live import Publisher
from engine_common.orders import Order
from engine_common.store import door
from engine_common.store.door import Move, Moved
from engine_common.store.group_commit import GroupCommit
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_common.transitions import Status

_TRIES = 5
_OUTCOME_WITHIN_S = 2.0

Moves = GroupCommit[Move, Moved | None]


class Execution:
    """Queues pending orders."""

    def __init__(self, orders: OrderBook, moves: Moves, enqueuer: Enqueuer, publisher: Publisher) -> None:
        self._orders = orders
        self._moves = moves
        self._enqueuer = enqueuer
        self._publisher = publisher

    async def execute(self, account: str, order_id: UUID) -> Order:
        """Queue the account's order unless it is on its way already, and return it. Raises Refusal."""
        for _ in range(_TRIES):
            order = await self._orders.read(account, order_id)
            if order.terminal:
                raise Refusal(ALREADY_FINISHED, f"order {order_id} is {order.status} already")
            if order.status is not Status.PENDING:
                return order
            queued = await self._queue(order)
            if queued is not None:
                return queued
        raise Refusal(CONTENDED, f"order {order_id} kept changing under this request")

    async def _queue(self, order: Order) -> Order | None:
        move = door.from_order(order, Status.QUEUED)
        try:
            moved = await self._moves.submit(move, within_s=_OUTCOME_WITHIN_S)
        except OutcomeUnknown:
            raise Refusal(
                OUTCOME_UNKNOWN,
                "the database did not answer in time, and the order may have been queued: repeating this is safe",
                retryable=True,
                members={"orderId": str(order.id)},
            ) from None
        if moved is None:
            return None
        self._enqueuer.enqueue(order.id, tracing.current() or TraceContext.new())
        self._publisher.publish(move.event(moved), order.account, order.user_wallet)
        return replace(order, status=Status.QUEUED, version=moved.version, state_since=moved.at, updated_at=moved.at)
