"""The state machine as data: what the design's table says, and what follows from it."""

import itertools

import pytest

from engine_common.orders import EventType
from engine_common.store.door import Move, from_order
from engine_common.transitions import (
    EXECUTABLE,
    RETRYABLE_FROM,
    TERMINAL,
    TRANSITIONS,
    IllegalTransition,
    Status,
    check,
    is_retry,
)
from support.orders import signed_swap, stored_order

# The table of the architecture, written out a second time on purpose.
ALLOWED = {
    ("pending", "queued"),
    ("pending", "cancelled"),
    ("queued", "routing"),
    ("queued", "cancelled"),
    ("routing", "building"),
    ("routing", "routing"),
    ("routing", "failed"),
    ("routing", "cancelled"),
    ("building", "submitted"),
    ("building", "routing"),
    ("building", "failed"),
    ("building", "cancelled"),
    ("submitted", "confirmed"),
    ("submitted", "routing"),
    ("submitted", "failed"),
    ("submitted", "cancelled"),
}
# What no Move may ask for: the database does it in place of a retry or a failure, after a request to cancel.
JUDGED = ("submitted", "cancelled")
PAIRS = list(itertools.product(Status, Status))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_exactly_the_moves_of_the_table_are_allowed(source: Status, target: Status) -> None:
    """Every pair is either in the table or refused by name."""
    if (source, target) in ALLOWED:
        check(source, target)
    else:
        with pytest.raises(IllegalTransition, match=f"from {source} to {target}"):
            check(source, target)


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair not in ALLOWED])
def test_a_move_that_the_table_does_not_have_cannot_even_be_made(source: Status, target: Status) -> None:
    """The door needs no guard of its own: there is no such Move."""
    with pytest.raises(IllegalTransition):
        Move(stored_order().id, 1, source, 1, target, 1, swap=signed_swap() if target == "submitted" else None)


def test_nothing_leaves_a_terminal_state() -> None:
    """Three states are terminal, and no other is a dead end."""
    assert {status.value for status in TERMINAL} == {"confirmed", "failed", "cancelled"}
    assert all(TRANSITIONS[status] == frozenset() for status in TERMINAL)


def test_a_worker_executes_all_that_is_neither_pending_nor_terminal() -> None:
    """`pending` waits for its owner's word."""
    assert {status.value for status in EXECUTABLE} == {"queued", "routing", "building", "submitted"}


@pytest.mark.parametrize(("source", "target"), sorted(ALLOWED - {JUDGED}))
def test_only_the_way_back_to_routing_is_a_retry(source: str, target: str) -> None:
    """The first way into `routing` begins attempt 1; each way back begins a further one and says `retrying`."""
    retry = target == "routing" and source in {"routing", "building", "submitted"}
    assert is_retry(Status(source), Status(target)) is retry
    assert (Status(source) in RETRYABLE_FROM) is (source in {"routing", "building", "submitted"})
    order = stored_order(status=source, attempt=2)
    move = from_order(order, Status(target), swap=signed_swap() if target == "submitted" else None)
    assert move.attempt == (3 if retry else 2)
    assert move.event_type is (EventType.RETRYING if retry else EventType.STATUS)


def test_only_a_move_to_submitted_carries_a_signed_swap_and_it_must() -> None:
    """No order is submitted without the bytes to send; none has them for nothing."""
    with pytest.raises(ValueError, match="signed swap"):
        from_order(stored_order(status="building"), Status.SUBMITTED)
    with pytest.raises(ValueError, match="signed swap"):
        from_order(stored_order(status="building"), Status.FAILED, swap=signed_swap())


def test_a_move_expects_the_order_as_it_was_last_read() -> None:
    """Version, status and epoch are what the door compares."""
    order = stored_order(status="routing", version=7, lease_epoch=3, attempt=2)
    move = from_order(order, Status.CANCELLED)
    assert (move.order_id, move.version, move.source, move.epoch) == (order.id, 7, Status.ROUTING, 3)
