"""Placing orders: stored exactly once, answered once stored, then announced beside the answer."""

from typing import NamedTuple

from uuid_utils.compat import uuid7

from engine_api import measurements
from engine_api.backlog import Backlog
from engine_api.enqueuing import Enqueuer
from engine_api.intake.idempotency import HEADER, fingerprint
from engine_api.intake.order_body import OrderTerms
from engine_api.order_book import OrderBook
from engine_api.pending_limit import PendingLimit
from engine_api.problems import KEY_REUSED, OUTCOME_UNKNOWN, TOO_MANY_PENDING, Refusal
from engine_common.errors import OutcomeUnknown
from engine_common.live import Publisher
from engine_common.orders import Event, EventType, NewOrder, Order
from engine_common.store.creation import Created, KeyTaken
from engine_common.store.group_commit import GroupCommit
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_common.transitions import Status

# What is asked for is part of an order's fingerprint: the same key cannot create and, later, create and execute.
_OPERATIONS = {Status.PENDING: "create", Status.QUEUED: "execute"}

Inserts = GroupCommit[NewOrder, Created | KeyTaken]


class Placed(NamedTuple):
    """The order of a request; `replayed`: an earlier request with the same key had created it."""

    order: Order
    replayed: bool


class Placement:
    """Stores new orders, and announces those that are to be executed."""

    def __init__(
        self,
        inserts: Inserts,
        orders: OrderBook,
        enqueuer: Enqueuer,
        publisher: Publisher,
        backlog: Backlog,
        pending: PendingLimit,
        patience_s: float,
    ) -> None:
        self._inserts = inserts
        self._orders = orders
        self._enqueuer = enqueuer
        self._publisher = publisher
        self._backlog = backlog
        self._pending = pending
        self._patience_s = patience_s

    async def place(self, account: str, terms: OrderTerms, key: str | None, status: Status) -> Placed:
        """Store an order that begins as `pending` or `queued`.

        Raises Refusal (the key belongs to another order; too many orders are unfinished or pending; the outcome is
        unknown) and StoreUnavailable (nothing stored).
        """
        context = tracing.current() or TraceContext.new()
        new = _new_order(account, terms, key, status, context)
        if self._backlog.full and (known := await self._find(new)) is not None:
            return _replayed(known)
        try:
            result = await self._store(new)
        except OutcomeUnknown:
            raise _outcome_unknown(new) from None
        except Refusal as refusal:
            if refusal.kind is not TOO_MANY_PENDING or (known := await self._find(new)) is None:
                raise
            return _replayed(known)
        if isinstance(result, KeyTaken):
            return _replayed(result)
        measurements.count_accepted(status)
        if status is Status.QUEUED:
            self._enqueuer.enqueue(new.id, context)
        event = Event(new.id, 1, EventType.STATUS, status, None, 1, result.at, {})
        self._publisher.publish(event, account, new.user_wallet)
        return Placed(_stored(new, result), replayed=False)

    async def _store(self, new: NewOrder) -> Created | KeyTaken:
        if new.status is not Status.QUEUED:
            self._backlog.check()
            async with self._pending.admitting(new.account):
                return await self._inserts.submit(new, within_s=self._patience_s)
        with self._backlog.admitting():
            return await self._inserts.submit(new, within_s=self._patience_s)

    async def _find(self, new: NewOrder) -> KeyTaken | None:
        """Look for the order that an earlier request with the same key created: it is answered whatever the load."""
        if new.idempotency_key is None:
            return None
        return await self._orders.find_by_key(new.account, new.idempotency_key, new.fingerprint)


def _replayed(taken: KeyTaken) -> Placed:
    """Return what the earlier request created. Raises Refusal when that was another order."""
    if not taken.same:
        raise Refusal(KEY_REUSED, f"the {HEADER} was used for another order, {taken.order.id}")
    return Placed(taken.order, replayed=True)


def _new_order(account: str, terms: OrderTerms, key: str | None, status: Status, context: TraceContext) -> NewOrder:
    return NewOrder(
        id=uuid7(),
        account=account,
        idempotency_key=key,
        fingerprint=fingerprint(_OPERATIONS[status], terms),
        type=terms.type,
        token_in=terms.token_in.symbol,
        token_out=terms.token_out.symbol,
        amount_in=terms.amount_in,
        slippage_bps=terms.slippage_bps,
        min_amount_out=terms.min_amount_out,
        user_wallet=terms.user_wallet,
        status=status,
        traceparent=context.traceparent,
    )


def _stored(new: NewOrder, created: Created) -> Order:
    """Return the order as the row now stands, without reading it."""
    return Order(
        id=new.id,
        account=new.account,
        type=new.type,
        token_in=new.token_in,
        token_out=new.token_out,
        amount_in=new.amount_in,
        slippage_bps=new.slippage_bps,
        min_amount_out=new.min_amount_out,
        effective_min_amount_out=None,
        user_wallet=new.user_wallet,
        status=new.status,
        version=1,
        attempt=1,
        venue=None,
        pool=None,
        routing=None,
        amount_out=None,
        tx_hash=None,
        error_code=None,
        error_reason=None,
        traceparent=new.traceparent,
        lease_epoch=0,
        not_before=None,
        state_since=created.at,
        cancel_requested_at=None,
        landed_at=None,
        created_at=created.at,
        updated_at=created.at,
    )


def _outcome_unknown(order: NewOrder) -> Refusal:
    """Return the refusal of an order that may be stored: repeating it is safe only if its key then finds the first."""
    advice = "look the order up"
    if order.idempotency_key is not None:
        advice += f", or repeat the request with the same {HEADER}"
    return Refusal(
        OUTCOME_UNKNOWN,
        f"the database did not answer in time, and the order may have been stored: {advice}",
        retryable=order.idempotency_key is not None,
        members={"orderId": str(order.id)},
    )
