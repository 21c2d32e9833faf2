"""The one door, against the real database: what a move writes, and what it leaves alone."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from engine_common.orders import Event, EventType, Order
from engine_common.store import claims, door, reading
from engine_common.store.door import Move, from_order, note
from engine_common.store.pool import Connection, Pool
from engine_common.transitions import TERMINAL, TRANSITIONS, Status, is_retry
from support.orders import POOL, create, insert_row, new_id, new_order, read, signed_swap

# Made by the database alone, in place of a retry or a failure.
JUDGED = (Status.SUBMITTED, Status.CANCELLED)
ALLOWED = [
    (source, target) for source in Status for target in sorted(TRANSITIONS[source]) if (source, target) != JUDGED
]
REFUSED = [pair for pair in itertools.product(Status, Status) if pair[1] not in TRANSITIONS[pair[0]]]
MINIMUM_OUT = 200


def move_of(order: Order, target: Status) -> Move:
    """Return the move of the order to the target, with what such a move carries."""
    changes: dict[str, Any] = {"data": {"from": order.status}}
    if target is Status.BUILDING:
        changes |= {
            "venue": "raydium",
            "pool": POOL,
            "routing": '{"chosen": "raydium"}',
            "effective_min_amount_out": MINIMUM_OUT,
        }
    if target is Status.SUBMITTED:
        changes |= {"swap": signed_swap()}
    if target is Status.CONFIRMED:
        changes |= {"amount_out": 222, "outcome": "confirmed"}
    if target is Status.FAILED:
        changes |= {"error_code": "no_liquidity", "error_reason": "dry", "outcome": "no_liquidity"}
    if is_retry(order.status, target):
        changes |= {"delay_ms": 60_000, "outcome": "swap_failed", "outcome_reason": "6000"}
    return from_order(order, target, **changes)


WAYS: Mapping[Status, list[Status]] = {
    Status.PENDING: [],
    Status.QUEUED: [Status.QUEUED],
    Status.ROUTING: [Status.QUEUED, Status.ROUTING],
    Status.BUILDING: [Status.QUEUED, Status.ROUTING, Status.BUILDING],
    Status.SUBMITTED: [Status.QUEUED, Status.ROUTING, Status.BUILDING, Status.SUBMITTED],
    Status.CONFIRMED: [Status.QUEUED, Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED],
    Status.FAILED: [Status.QUEUED, Status.ROUTING, Status.FAILED],
    Status.CANCELLED: [Status.CANCELLED],
}


async def brought_to(connection: Connection, status: Status) -> Order:
    """Return an order that went from `pending` to the status through the door."""
    (order,) = await create(connection, new_order(status=Status.PENDING))
    for target in WAYS[status]:
        (moved,) = await door.move(connection, [move_of(order, target)])
        assert moved is not None
        order = await read(connection, order.id)
    assert order.status is status
    return order


async def history(connection: Connection, order_id: UUID) -> list[Event]:
    return await reading.read_events(connection, order_id)


@pytest.mark.parametrize(("source", "target"), ALLOWED)
async def test_an_allowed_move_writes_the_state_and_exactly_one_event(
    shared_pool: Pool, source: Status, target: Status
) -> None:
    """The event has the next seq, the right type, and both statuses; the version is its seq."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, source)
        (moved,) = await door.move(connection, [move_of(order, target)])
        assert moved is not None
        stored = await read(connection, order.id)
        events = await history(connection, order.id)
    assert stored.status is target
    assert stored.version == moved.version == order.version + 1
    assert [event.seq for event in events] == list(range(1, stored.version + 1))
    last = events[-1]
    assert (last.type, last.status, last.previous_status) == (
        "retrying" if is_retry(source, target) else "status",
        target,
        source,
    )
    assert last.attempt == stored.attempt == order.attempt + is_retry(source, target)
    assert last.at == moved.at == stored.updated_at
    assert last.data == {"from": source}


@pytest.mark.parametrize(("source", "target"), [pair for pair in REFUSED if pair[0] in TERMINAL])
async def test_not_even_a_forged_move_leaves_a_terminal_state(
    shared_pool: Pool, source: Status, target: Status
) -> None:
    """The schema refuses what no Move can say, and nothing of it is written."""
    async with shared_pool.connection() as connection:
        order_id = await insert_row(connection, source)
        with pytest.raises(psycopg.errors.RaiseException, match="nothing leaves a terminal state"):
            await connection.execute(
                "UPDATE orders SET status = %s, finished_at = NULL, version = version + 1 WHERE id = %s",
                (target.value, order_id),
            )
        assert (await read(connection, order_id)).status is source


@pytest.mark.parametrize("stale", ["version", "source", "epoch"])
async def test_each_part_of_the_compare_and_set_alone_stops_a_move(shared_pool: Pool, stale: str) -> None:
    """An order that moved on, stands elsewhere or has another lease is not touched, and no event is written."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.ROUTING)
        move = move_of(order, Status.CANCELLED)
        other: dict[str, Any] = {"version": move.version + 1, "source": Status.BUILDING, "epoch": move.epoch + 1}
        assert await door.move(connection, [replace(move, **{stale: other[stale]})]) == [None]
        assert await read(connection, order.id) == order
        assert len(await history(connection, order.id)) == order.version
        assert await door.move(connection, [move]) != [None]


async def test_a_move_of_an_order_that_does_not_exist_does_not_come_back(shared_pool: Pool) -> None:
    """None means unknown, and the neighbours are moved."""
    async with shared_pool.connection() as connection:
        (order,) = await create(connection, new_order())
        there = move_of(order, Status.ROUTING)
        answers = await door.move(connection, [replace(there, order_id=new_id()), there])
    assert answers[0] is None
    assert answers[1] is not None


async def test_a_batch_answers_every_move_in_the_order_it_was_given(shared_pool: Pool) -> None:
    """Moved, stale and moved again: each at its place."""
    async with shared_pool.connection() as connection:
        orders = await create(connection, *(new_order() for _ in range(20)))
        moves = [move_of(order, Status.ROUTING) for order in reversed(orders)]
        moves[3] = replace(moves[3], version=9)
        answers = await door.move(connection, moves)
        assert [answer is None for answer in answers] == [i == 3 for i in range(20)]
        assert [(await read(connection, move.order_id)).version for move in moves] == [
            1 if i == 3 else 2 for i in range(20)
        ]


async def test_submitting_writes_the_attempt_in_the_same_statement(shared_pool: Pool) -> None:
    """Signature, bytes, last valid block height, signer, minimum and quotes are there before anything can be sent."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.BUILDING)
        move = move_of(order, Status.SUBMITTED)
        await door.move(connection, [move])
        assert await reading.read_attempt(connection, order.id, 1) == move.swap
        row = await (
            await connection.execute(
                "SELECT min_amount_out, signer, quotes, outcome, ended_at FROM attempts WHERE order_id = %s",
                (order.id,),
            )
        ).fetchone()
        assert move.swap is not None
        assert row == (MINIMUM_OUT, move.swap.signer, {"chosen": "raydium"}, None, None)
        assert (await read(connection, order.id)).tx_hash == move.swap.signature


async def test_the_end_of_an_attempt_is_added_to_what_was_signed(shared_pool: Pool) -> None:
    """A retry from `submitted` ends attempt 1 and begins attempt 2 without anything of it."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.SUBMITTED)
        await door.move(connection, [move_of(order, Status.ROUTING)])
        cursor = await connection.execute(
            "SELECT attempt, signature, outcome, reason, ended_at FROM attempts WHERE order_id = %s", (order.id,)
        )
        ((attempt, signature, outcome, reason, ended_at),) = await cursor.fetchall()
        stored = await read(connection, order.id)
    assert (attempt, signature, outcome, reason) == (1, order.tx_hash, "swap_failed", "6000")
    assert ended_at == stored.updated_at
    assert (stored.attempt, stored.venue, stored.pool, stored.routing, stored.tx_hash) == (2, None, None, None, None)
    assert stored.effective_min_amount_out == MINIMUM_OUT, "it holds for every attempt"


async def test_an_attempt_that_ends_before_it_was_signed_is_kept_with_its_reason(shared_pool: Pool) -> None:
    """It has an outcome and no signature, and nothing to send can be read of it."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.ROUTING)
        await door.move(connection, [move_of(order, Status.ROUTING)])
        cursor = await connection.execute(
            "SELECT attempt, signature, outcome, reason FROM attempts WHERE order_id = %s", (order.id,)
        )
        assert await cursor.fetchall() == [(1, None, "swap_failed", "6000")]
        assert await reading.read_attempt(connection, order.id, 1) is None


async def test_the_users_minimum_and_the_one_in_force_are_kept_apart(shared_pool: Pool) -> None:
    """The first route's stays in force for good, and what the user asked for stays readable."""
    async with shared_pool.connection() as connection:
        (order,) = await create(connection, new_order(min_amount_out=123))
        for target, minimum in ((Status.ROUTING, None), (Status.BUILDING, 200), (Status.ROUTING, None)):
            await door.move(connection, [replace(move_of(order, target), effective_min_amount_out=minimum)])
            order = await read(connection, order.id)
        await door.move(connection, [replace(move_of(order, Status.BUILDING), effective_min_amount_out=150)])
        order = await read(connection, order.id)
        assert (order.min_amount_out, order.effective_min_amount_out) == (123, 200)


@pytest.mark.parametrize("amount", [2**63, 2**64 - 1])
async def test_every_amount_of_the_chain_is_kept_as_it_is(shared_pool: Pool, amount: int) -> None:
    """Solana's amounts are unsigned 64-bit integers."""
    async with shared_pool.connection() as connection:
        (order,) = await create(connection, new_order(amount_in=amount, min_amount_out=amount))
        for target in (Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED):
            changes = {Status.BUILDING: "effective_min_amount_out", Status.CONFIRMED: "amount_out"}
            move = move_of(order, target)
            if target in changes:
                move = replace(move, **{changes[target]: amount})
            await door.move(connection, [move])
            order = await read(connection, order.id)
    amounts = (order.amount_in, order.amount_out, order.min_amount_out, order.effective_min_amount_out)
    assert amounts == (amount,) * 4
    assert {type(each) for each in amounts} == {int}


@pytest.mark.parametrize("target", [Status.ROUTING, Status.FAILED])
async def test_after_a_cancel_request_the_end_of_an_attempt_cancels_the_order(
    shared_pool: Pool, target: Status
) -> None:
    """Judged under the row's lock; the answer, the event and the attempt carry the actual end."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.SUBMITTED)
        ended = move_of(order, target)
        (requested,) = await door.move(connection, [note(order, EventType.CANCEL_REQUESTED, {})])
        assert requested is not None
        assert await door.move(connection, [ended]) == [None], "the version has changed: the worker reads it again"
        (moved,) = await door.move(connection, [replace(ended, version=requested.version)])
        assert moved is not None
        stored = await read(connection, order.id)
        events = await history(connection, order.id)
        cursor = await connection.execute("SELECT attempt, outcome FROM attempts WHERE order_id = %s", (order.id,))
        assert await cursor.fetchall() == [(1, ended.outcome)]
    assert moved.status is stored.status is Status.CANCELLED
    assert (stored.attempt, stored.error_code, stored.not_before, stored.venue) == (1, None, None, "raydium")
    assert [(event.type, event.status, event.previous_status) for event in events[-2:]] == [
        ("cancel_requested", "submitted", None),
        ("status", "cancelled", "submitted"),
    ]
    assert events[-1] == ended.event(moved)
    assert events[-1].data == {"errorCode": ended.outcome, "errorReason": ended.outcome_reason}


async def test_after_a_cancel_request_a_swap_that_landed_well_is_confirmed(shared_pool: Pool) -> None:
    """What is done is done."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.SUBMITTED)
        await door.move(connection, [note(order, EventType.CANCEL_REQUESTED, {})])
        order = await read(connection, order.id)
        assert order.cancel_requested_at is not None
        (moved,) = await door.move(connection, [move_of(order, Status.CONFIRMED)])
    assert moved is not None
    assert moved.status is Status.CONFIRMED


@pytest.mark.parametrize("event_type", [EventType.CANCEL_REQUESTED, EventType.LANDED])
async def test_a_note_leaves_the_order_where_it_is(shared_pool: Pool, event_type: Any) -> None:
    """It takes a seq and a time; neither the state, nor its beginning, nor the attempt changes."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.SUBMITTED)
        move = note(order, event_type, {"txHash": order.tx_hash})
        (moved,) = await door.move(connection, [move])
        assert moved is not None
        stored = await read(connection, order.id)
        assert (await history(connection, order.id))[-1] == move.event(moved)
    when = {EventType.CANCEL_REQUESTED: "cancel_requested_at", EventType.LANDED: "landed_at"}[event_type]
    assert stored == replace(order, version=order.version + 1, updated_at=moved.at, **{when: getattr(stored, when)})
    assert getattr(stored, when) is not None


def test_only_a_submitted_order_takes_notes_and_no_move_asks_for_its_cancellation() -> None:
    """The database decides that, under the lock."""
    with pytest.raises(ValueError, match="submitted"):
        Move(new_id(), 1, Status.BUILDING, 1, Status.BUILDING, 1, note=EventType.LANDED)
    with pytest.raises(ValueError, match="only by the database"):
        Move(new_id(), 1, Status.SUBMITTED, 1, Status.CANCELLED, 1)


async def test_a_delay_keeps_the_order_until_then_and_the_next_move_lifts_it(shared_pool: Pool) -> None:
    """`not_before` is the database's time plus the backoff."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.ROUTING)
        await door.move(connection, [move_of(order, Status.ROUTING)])
        waiting = await read(connection, order.id)
        assert waiting.not_before is not None
        assert abs((waiting.not_before - waiting.updated_at).total_seconds() - 60) < 1
        await door.move(connection, [move_of(waiting, Status.BUILDING)])
        assert (await read(connection, order.id)).not_before is None


async def test_a_moves_event_is_the_row_that_it_wrote(shared_pool: Pool) -> None:
    """What is published after the commit and what a replay reads are the same."""
    async with shared_pool.connection() as connection:
        order = await brought_to(connection, Status.BUILDING)
        move = move_of(order, Status.ROUTING)
        (moved,) = await door.move(connection, [move])
        assert moved is not None
        assert (await history(connection, order.id))[-1] == move.event(moved)


async def test_a_claim_between_reading_and_moving_stops_the_old_owners_move(shared_pool: Pool) -> None:
    """The lease epoch fences every write of a worker that was taken for dead."""
    async with shared_pool.connection() as connection:
        (order,) = await create(connection, new_order())
        old, new = new_id(), new_id()
        ((order, _),) = await claims.claim(connection, old, [order.id], lease_s=5)
        ((taken, _),) = await claims.claim(connection, new, [order.id], lease_s=5)
        assert await door.move(connection, [move_of(order, Status.ROUTING)]) == [None]
        assert await door.move(connection, [move_of(taken, Status.ROUTING)]) != [None]
