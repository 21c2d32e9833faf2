"""The same operations on PostgreSQL and on the model, by several workers, with every mistake a worker can make."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine_common.orders import Event, EventType, NewOrder, Order
from engine_common.store import claims, creation, door, reading
from engine_common.store.creation import Created, KeyTaken
from engine_common.store.door import Move, SignedSwap, from_order
from engine_common.store.pool import Connection
from engine_common.transitions import TRANSITIONS, Status, is_retry
from simulation.model_connection import ModelConnection
from simulation.model_database import ModelDatabase
from support.orders import new_id, new_order

Answer = TypeVar("Answer")

# So long that no example lasts until a lease runs out by itself; who dies is dead for longer.
_LEASE_S = 600.0
_LONG = timedelta(hours=2)
_LATER_MS = 70_000
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KEYS = ("key 1", "key 2")
_POISON = (psycopg.errors.IntegrityError, psycopg.errors.RaiseException)
_TIMES = ("state_since", "created_at", "updated_at", "not_before", "cancel_requested_at", "landed_at")

_ONWARD = {
    Status.PENDING: Status.QUEUED,
    Status.QUEUED: Status.ROUTING,
    Status.ROUTING: Status.BUILDING,
    Status.BUILDING: Status.SUBMITTED,
}

_AGE_ALL_BUT_THE_OLD = """
UPDATE orders SET state_since = clock_timestamp() + interval '0.9 seconds'
WHERE finished_at IS NULL AND state_since > clock_timestamp() - interval '1 hour'
"""
_WAITED = """
UPDATE orders SET state_since = '2000-01-01T00:00:00Z', not_before = not_before - interval '1 day' WHERE id = %s
"""
_READ_ORDERS = """
SELECT id, status, version, attempt, worker_id, lease_epoch, min_amount_out,
       effective_min_amount_out, venue, pool, tx_hash, amount_out,
       error_code, error_reason, idempotency_key, queued_at IS NULL, finished_at IS NULL,
       not_before > clock_timestamp(), cancel_requested_at IS NULL, landed_at IS NULL
FROM orders ORDER BY id
"""
_READ_EVENTS = """
SELECT order_id, seq, type, status, previous_status, attempt, data FROM order_events ORDER BY order_id, seq
"""
_READ_ATTEMPTS = """
SELECT order_id, attempt, signature, signed_transaction, last_valid_block_height, min_amount_out, signer,
       outcome, reason
FROM attempts ORDER BY order_id, attempt
"""


class StoreMachine(RuleBasedStateMachine):
    """Needs a connection to a database of its own, and the runner of the loop that the connection belongs to."""

    connection: Connection
    runner: asyncio.Runner
    model_of: type[ModelDatabase] = ModelDatabase

    def __init__(self) -> None:
        super().__init__()
        self.database = self.model_of(lambda: _NOW)
        self.model = ModelConnection(self.database)
        self.placed: list[NewOrder] = []
        self.seen: dict[UUID, list[Order]] = {}
        self.signatures: list[str] = []
        self.finished: dict[UUID, str] = {}
        self.differs = False

    # --- Doing the same twice -----------------------------------------------------------------------------------

    def real(self, operation: Awaitable[Answer]) -> Answer:
        async def run() -> Answer:
            return await operation

        return self.runner.run(run())

    def both(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do it on both sides, compare what comes back, and return the model's answer."""
        outcomes = [self._outcome(operation(each)) for each in (self.connection, self.model)]
        self.differs = outcomes[0] != outcomes[1]
        assert not self.differs, f"PostgreSQL: {outcomes[0]}, the model: {outcomes[1]}"
        self._look()
        return outcomes[1]

    def _outcome(self, operation: Awaitable[Any]) -> Any:
        try:
            return _timeless(self.real(operation))
        except _POISON:
            return "refused"

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        async def run() -> list[tuple[Any, ...]]:
            cursor = await self.connection.execute(statement, parameters or None)
            return await cursor.fetchall() if cursor.description else []

        return self.real(run())

    def _look(self) -> None:
        """Remember how orders look now: some worker will act on it when it is long out of date."""
        for row in self.database.orders.values():
            order, views = Order(*row.columns()), self.seen.setdefault(row.id, [])
            if not views or views[-1] != order:
                views.append(order)

    # --- Rules ---------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.execute("TRUNCATE orders, order_events, attempts, workers")
        self.workers = [new_id() for _ in range(3)]

    @rule(data=st.data(), count=st.integers(1, 3))
    def create(self, data: st.DataObject, count: int) -> None:
        """Create new orders, and some again that were created before; keys repeat."""
        batch = [data.draw(st.sampled_from(self.placed) if self.placed and data.draw(st.booleans()) else _ORDERS)]
        batch += [data.draw(_ORDERS) for _ in range(count - 1)]
        self.both(lambda connection: creation.create(connection, batch))
        self.placed += [order for order in batch if order.id in self.database.orders]
        self.execute(_AGE_ALL_BUT_THE_OLD)

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), count=st.integers(1, 3))
    def move(self, data: st.DataObject, count: int) -> None:
        """Move some orders, from how they are or from how they once were, with whatever can be wrong about it."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.seen)), min_size=1, max_size=count, unique=True))
        moves = [move for order_id in ids if (move := self._draw_move(data, order_id)) is not None]
        if moves:
            self.both(lambda connection: door.move(connection, moves))
            self.execute(_AGE_ALL_BUT_THE_OLD)

    def _draw_move(self, data: st.DataObject, order_id: UUID) -> Move | None:
        views = self.seen[order_id]
        stale = data.draw(st.integers(0, 5)) == 0
        order = data.draw(st.sampled_from(views)) if stale else views[-1]
        targets = sorted(TRANSITIONS[order.status])
        if not targets:
            return None
        target = data.draw(st.sampled_from(targets))
        if (order.status, target) == (Status.SUBMITTED, Status.CANCELLED):  # not to be asked for, but noted
            event_type = data.draw(st.sampled_from((EventType.CANCEL_REQUESTED, EventType.LANDED)))
            return door.note(order, event_type, {"of": event_type})
        wrong = data.draw(st.sampled_from(["version", "epoch", "attempt", "poison", *[None] * 12]))
        return Move(
            order_id,
            order.version + (wrong == "version"),
            order.status,
            order.lease_epoch + (data.draw(st.sampled_from((-1, 1))) if wrong == "epoch" else 0),
            target,
            order.attempt + (is_retry(order.status, target) != (wrong == "attempt")),
            data={"of": str(target)},
            delay_ms=data.draw(st.sampled_from((None, 0, _LATER_MS))) if target is Status.ROUTING else None,
            **self._draw_columns(data, target, poisoned=wrong == "poison"),
        )

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), steps=st.integers(1, 4))
    def advance(self, data: st.DataObject, steps: int) -> None:
        """Go some steps as a worker does that makes no mistake, so that what follows happens to orders in any state."""
        order_id = data.draw(st.sampled_from(sorted(self.seen)))
        for _ in range(steps):
            order = self.seen[order_id][-1]
            if order.status not in _ONWARD:
                return
            target = _ONWARD[order.status]
            move = from_order(order, target, **self._draw_columns(data, target, poisoned=False))
            self.both(lambda connection, move=move: door.move(connection, [move]))
        self.execute(_AGE_ALL_BUT_THE_OLD)

    def _draw_columns(self, data: st.DataObject, target: Status, *, poisoned: bool) -> dict[str, Any]:
        if target is Status.BUILDING:
            minimum = -1 if poisoned else data.draw(st.sampled_from((None, 0, 990, 1_000, 2**64 - 1)))
            route = {"venue": "raydium", "pool": "a pool", "routing": '{"chosen": "raydium"}'}
            return route | {"effective_min_amount_out": minimum}
        if target is Status.SUBMITTED:
            known = poisoned and self.signatures
            signature = data.draw(st.sampled_from(self.signatures)) if known else f"signature {new_id()}"
            self.signatures.append(signature)
            return {"swap": SignedSwap(signature, signature.encode(), 1_000, "wallet")}
        ends = data.draw(st.booleans())
        ending = {"outcome": f"ended by {target}", "outcome_reason": "because"} if ends else {}
        if target is Status.CONFIRMED:
            return {"amount_out": data.draw(st.sampled_from((0, None))) if poisoned else 995, **ending}
        if target is Status.FAILED:
            return {"error_code": None if poisoned else "no_liquidity", "error_reason": "dry", **ending}
        return ending if target in (Status.ROUTING, Status.CANCELLED) else {}

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from([*sorted(self.seen), new_id()]), min_size=1, max_size=4))
        worker = data.draw(st.sampled_from(self.workers))
        self.both(lambda connection: claims.claim(connection, worker, ids, _LEASE_S))

    @rule(data=st.data(), room=st.integers(1, 4))
    def sweep(self, data: st.DataObject, room: int) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.execute(_AGE_ALL_BUT_THE_OLD)
        self.both(lambda connection: claims.sweep(connection, worker, room, _LEASE_S))

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.both(lambda connection: claims.beat(connection, worker, "host"))

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """Let a worker's last beat be long ago, or far ahead, as after a step of the clock."""
        worker = data.draw(st.sampled_from(self.workers))
        if worker in self.database.beats:
            ago = data.draw(st.sampled_from((_LONG, -_LONG)))
            self.database.beats[worker] = _NOW - ago
            self.execute("UPDATE workers SET beat_at = clock_timestamp() - %s WHERE id = %s", ago, worker)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.both(lambda connection: claims.release(connection, worker))

    @rule(data=st.data())
    def sign_off(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.both(lambda connection: claims.sign_off(connection, worker))

    @rule()
    def forget_dead_workers(self) -> None:
        self.both(claims.forget_dead_workers)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        """Let an order have been where it is for long, and whatever it waits for be due."""
        row = self.database.orders[data.draw(st.sampled_from(sorted(self.seen)))]
        if row.finished_at is None:
            row.state_since = _NOW - _LONG
            row.not_before = row.not_before and _NOW - _LONG
            self.execute(_WAITED, row.id)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """Read an order as its owner, as another worker, as its account and as another account."""
        order_id = data.draw(st.sampled_from(sorted(self.seen)))
        worker = data.draw(st.sampled_from(self.workers))
        account = data.draw(st.sampled_from(("default", "another")))
        self.both(lambda connection: claims.read_owned(connection, worker))
        self.both(lambda connection: reading.read_own(connection, worker, order_id))
        self.both(lambda connection: reading.read_order(connection, account, order_id))
        for attempt in (1, 2):
            self.both(lambda connection, attempt=attempt: reading.read_attempt(connection, order_id, attempt))
        self.both(lambda connection: reading.read_events(connection, order_id, after=1))

    # --- What holds ----------------------------------------------------------------------------------------------

    @invariant()
    def orders_are_the_same(self) -> None:
        stored = self.execute(_READ_ORDERS)
        assert stored == [_facts(row) for _, row in sorted(self.database.orders.items())]
        for order_id, status, *_ in stored:
            assert self.finished.get(order_id, status) == status, "a finished order has changed"
            if not TRANSITIONS[Status(status)]:
                self.finished[order_id] = status

    def teardown(self) -> None:
        if self.differs:
            return
        events = self.execute(_READ_EVENTS)
        model = [event for _, history in sorted(self.database.events.items()) for event in history]
        assert events == [(e.order_id, e.seq, e.type, e.status, e.previous_status, e.attempt, e.data) for e in model]
        for order_id, row in self.database.orders.items():
            seqs = [event[1] for event in events if event[0] == order_id]
            assert seqs == list(range(1, row.version + 1)), "a history has gaps, or does not end in its order's version"
        attempts = [attempt for _, attempt in sorted(self.database.attempts.items())]
        assert self.execute(_READ_ATTEMPTS) == [
            tuple(getattr(attempt, name) for name in type(attempt).__slots__) for attempt in attempts
        ]


_ORDERS = st.builds(
    lambda key, fingerprint, status, floor: new_order(
        idempotency_key=key, fingerprint=fingerprint, status=status, min_amount_out=floor
    ),
    st.sampled_from((None, None, *_KEYS)),
    st.sampled_from((b"f" * 32, b"g" * 32)),
    st.sampled_from((Status.QUEUED, Status.QUEUED, Status.PENDING)),
    st.sampled_from((None, None, 990)),
)


def _facts(row: Any) -> tuple[Any, ...]:
    """Return what _READ_ORDERS selects."""
    later = None if row.not_before is None else row.not_before > _NOW
    return (
        *(row.id, row.status, row.version, row.attempt, row.worker_id, row.lease_epoch, row.min_amount_out),
        *(row.effective_min_amount_out, row.venue),
        *(row.pool, row.tx_hash, row.amount_out, row.error_code, row.error_reason, row.idempotency_key),
        *(row.queued_at is None, row.finished_at is None, later),
        *(row.cancel_requested_at is None, row.landed_at is None),
    )


def _timeless(answer: Any) -> Any:
    """Return the answer without its times: the two sides do not share a clock."""
    match answer:
        case Order():
            nothing = {name: getattr(answer, name) and _NOW for name in _TIMES}
            told: Any = replace(answer, **nothing)
        case Event():
            told = replace(answer, at=_NOW)
        case door.Moved():
            told = (answer.version, answer.status)
        case claims.Claimed():
            told = (_timeless(answer.order), answer.deserted)
        case Created():
            told = "created"
        case KeyTaken():
            told = ("key taken", _timeless(answer.order), answer.same)
        case list():
            told = [_timeless(each) for each in answer]
        case _:
            told = answer
    return told
