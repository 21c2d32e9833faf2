"""One order's life against a store, venues and a chain in memory: what is committed, and in which order."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine_common.errors import StoreRefused
from engine_common.store.door import Move
from engine_common.transitions import Status
from support.orders import stored_order
from support.simulation import MINIMUM_OUT, PAID, FakeVenue, World, quote
from support.virtual_time import VirtualClock, in_virtual_time

HAPPY = ["routing", "building", "submitted", "confirmed"]


@in_virtual_time
async def test_an_order_goes_from_queued_to_confirmed_by_one_transition_each() -> None:
    """With the better venue's pool, the route's minimum output, and what the chain says was paid."""
    world = World()
    await world.execution.run()
    assert world.store.path == HAPPY
    assert world.store.stored.version == 5
    route, _, confirmed = world.store.moves[1], world.store.moves[2], world.store.moves[3]
    assert (route.venue, route.effective_min_amount_out) == ("raydium", MINIMUM_OUT)
    assert (confirmed.amount_out, confirmed.outcome) == (PAID, "confirmed")
    assert confirmed.data == {
        "txHash": f"{world.store.stored.id}/1",
        "executionPrice": "0.000664666666667",
        "amountOut": "0.000997",
    }


@in_virtual_time
async def test_nothing_is_sent_before_its_signature_is_committed() -> None:
    """The row came back first; then the same bytes leave."""
    world = World()
    sent_before: list[int] = []
    world.store.before_move = lambda move: sent_before.append(len(world.chain.sent)) if move.swap else None
    await world.execution.run()
    assert sent_before == [0]
    assert {transaction for _, transaction in world.chain.sent} == {world.store.attempts[1].transaction}


@in_virtual_time
async def test_every_move_is_published_after_its_commit_as_the_row_it_wrote() -> None:
    """Gap-free, in order."""
    world = World()
    await world.execution.run()
    assert [event.seq for event in world.events] == [2, 3, 4, 5]
    assert [event.status for event in world.events] == HAPPY
    assert [event.previous_status for event in world.events] == ["queued", *HAPPY[:3]]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.ROUTING])
@in_virtual_time
async def test_a_recovered_order_goes_on_from_its_persisted_state(status: Status) -> None:
    """Whatever the dead worker had in mind is gone with it."""
    world = World(stored_order(status=status, version=4, lease_epoch=2))
    await world.execution.run()
    assert world.store.stored.status is Status.CONFIRMED
    assert world.store.path == HAPPY[0 if status is Status.QUEUED else 1 :]


@in_virtual_time
async def test_a_recovered_submission_sends_the_committed_bytes_and_signs_nothing() -> None:
    """The dead worker may have sent them: another signature could swap twice."""
    order = stored_order(
        status="submitted", version=5, lease_epoch=2, venue="raydium", pool="p", effective_min_amount_out=1
    )
    world = World(order)
    committed = world.signer.sign(order, await world.chain.latest_blockhash())
    world.store.attempts[1] = committed
    await world.execution.run()
    assert world.store.path == ["confirmed"]
    assert world.signer.signed == [committed]
    assert {transaction for _, transaction in world.chain.sent} == {committed.transaction}


@pytest.mark.parametrize("target", [Status(each) for each in HAPPY])
@in_virtual_time
async def test_a_commit_whose_reply_was_lost_is_found_by_reading_and_not_repeated(target: Status) -> None:
    """No row back means unknown: the order is read again, and execution goes on from what is stored."""
    world = World()
    world.store.lose_replies = [target]
    await world.execution.run()
    assert world.store.path == HAPPY
    assert world.store.reads == 1
    assert len(world.signer.signed) == 1


@pytest.mark.parametrize("target", [Status(each) for each in HAPPY])
@in_virtual_time
async def test_the_event_of_a_commit_whose_reply_was_lost_is_published_all_the_same(target: Status) -> None:
    """Nobody else publishes it: a socket that waits for the terminal event would wait for ever."""
    world = World()
    world.store.lose_replies = [target]
    await world.execution.run()
    assert [event.seq for event in world.events] == [2, 3, 4, 5]
    assert [event.status for event in world.events] == HAPPY


@in_virtual_time
async def test_a_submission_whose_reply_was_lost_sends_the_stored_bytes() -> None:
    """Never those in memory: they were perhaps never committed."""
    world = World()
    world.store.lose_replies = [Status.SUBMITTED]
    await world.execution.run()
    assert {transaction for _, transaction in world.chain.sent} == {world.store.attempts[1].transaction}


@in_virtual_time
async def test_a_cancel_that_won_ends_the_execution_quietly() -> None:
    """Whichever of cancel and `submitted` commits first wins."""
    world = World()

    def cancel_first(move: Move) -> None:
        if move.target is Status.SUBMITTED:
            stored = world.store.stored
            world.store.stored = replace(stored, status=Status.CANCELLED, version=stored.version + 1)

    world.store.before_move = cancel_first
    await world.execution.run()
    assert world.store.path == ["routing", "building"]
    assert world.chain.sent == []


@pytest.mark.parametrize("lost", ["owner", "epoch"])
@in_virtual_time
async def test_who_lost_the_order_stops_quietly(lost: str) -> None:
    """Another worker has it: nothing more is written, sent or published."""
    world = World()

    def take_over(move: Move) -> None:
        if move.target is Status.BUILDING:
            world.store.stored = replace(world.store.stored, lease_epoch=2)
            world.store.owned = lost == "epoch"

    world.store.before_move = take_over
    await world.execution.run()
    assert world.store.path == ["routing"]
    assert world.chain.sent == []
    assert len(world.events) == 1


@in_virtual_time
async def test_a_worker_in_doubt_of_its_lease_reads_before_it_writes() -> None:
    """Before every write, and only then: an order that is still its own goes on."""
    world = World()
    await world.execution.run()
    assert world.store.reads == 0
    doubtful = World()
    doubtful.doubtful = True
    await doubtful.execution.run()
    assert doubtful.store.path == HAPPY
    assert doubtful.store.reads == 4


@in_virtual_time
async def test_a_worker_in_doubt_that_lost_the_order_does_not_even_try_to_write() -> None:
    """Nor does it send."""
    world = World()
    world.doubtful = True
    world.store.owned = False
    tried: list[Move] = []
    world.store.before_move = tried.append
    await world.execution.run()
    assert tried == []


@in_virtual_time
async def test_a_worker_in_doubt_goes_on_from_where_the_order_stands() -> None:
    """A cancel came in between: the move that was planned is not even tried."""
    world = World()
    world.doubtful = True
    world.store.stored = replace(world.store.stored, status=Status.CANCELLED, version=2)
    await world.execution.run()
    assert world.store.moves == []


@in_virtual_time
async def test_both_venues_are_asked_at_once_and_again_for_every_attempt() -> None:
    """Quotes are as old as the attempt."""
    world = World()
    world.lands_with = [{"InstructionError": [0, {"Custom": 6000}]}, None]
    await world.execution.run()
    assert [venue.asked for venue in world.venues] == [2, 2]


@in_virtual_time
async def test_a_venue_that_fails_in_a_way_nobody_foresaw_leaves_the_choice_to_the_other() -> None:
    """One venue's surprise is not the order's."""
    world = World(venues=[FakeVenue("raydium", [RuntimeError("refused")]), FakeVenue("meteora", [quote("meteora")])])
    await world.execution.run()
    assert world.store.path == HAPPY
    assert world.store.moves[1].venue == "meteora"


def refusing(world: World, *refused: Callable[[Move], bool]) -> None:
    """Let the store refuse one move of each description."""
    waiting = list(refused)

    def refuse(move: Move) -> None:
        for each in waiting:
            if each(move):
                waiting.remove(each)
                raise StoreRefused("an error that the database raised once")

    world.store.before_move = refuse


@pytest.mark.parametrize("target", [Status.BUILDING, Status.SUBMITTED])
@in_virtual_time
async def test_a_move_that_the_database_refuses_ends_the_attempt_with_its_reason(target: Status) -> None:
    """Repeating it would only be refused again."""
    world = World()
    refusing(world, lambda move: move.target is target)
    await world.execution.run()
    assert world.store.path[-4:] == ["routing", *HAPPY[1:]]
    assert [move.outcome for move in world.store.moves if move.outcome] == ["unexpected_error", "confirmed"]
    assert world.store.stored.attempt == 2


@in_virtual_time
async def test_a_refused_beginning_is_tried_again_and_ends_no_attempt() -> None:
    """An order in `queued` has begun none: an outcome would stand in the way of the attempt's own row."""
    world = World()
    refusing(world, lambda move: move.source is Status.QUEUED, lambda move: move.source is Status.QUEUED)
    await world.execution.run()
    assert world.store.path == HAPPY
    assert [move.outcome for move in world.store.moves if move.outcome] == ["confirmed"]


@in_virtual_time
async def test_an_ending_that_the_database_refuses_once_is_stored_as_it_is() -> None:
    """With its outcome: a refusal may pass, as the trigger of a maintenance does."""
    world = World()
    refusing(world, lambda move: move.outcome == "confirmed")
    await world.execution.run()
    assert world.store.path == HAPPY
    assert world.store.moves[-1].outcome == "confirmed"


@pytest.mark.parametrize("outcome", ["swap_failed", "confirmed"])
@in_virtual_time
async def test_an_ending_that_the_database_refuses_is_stored_without_the_attempts_row(outcome: str) -> None:
    """What was refused may be that row; the order goes on or ends all the same."""
    world = World()
    world.lands_with = [{"InstructionError": [0, {"Custom": 6000}]}, None]
    refusing(world, lambda move: move.outcome == outcome, lambda move: move.outcome == outcome)
    await world.execution.run()
    assert world.store.path == [*HAPPY[:3], "routing", *HAPPY[1:]]
    assert outcome not in [move.outcome for move in world.store.moves]


@in_virtual_time
async def test_an_order_whose_every_move_is_refused_goes_on_as_soon_as_one_is_not() -> None:
    """It is tried again and again, with growing pauses, and never left to die."""
    world = World()
    refused: list[float] = []

    def refuse_for_a_while(move: Move) -> None:
        if move.source is Status.BUILDING and VirtualClock().monotonic() < 120:
            refused.append(VirtualClock().monotonic())
            raise StoreRefused("the disk is full of triggers")

    world.store.before_move = refuse_for_a_while
    await world.execution.run()
    assert world.store.stored.status is Status.CONFIRMED
    assert len(refused) < 60


@pytest.mark.parametrize("custom", [6000, 6001, 3])
@in_virtual_time
async def test_a_cancel_request_of_a_submitted_order_lets_no_further_attempt_begin(custom: int) -> None:
    """The chain ends the attempt with an error: the order is cancelled instead of tried again or failed."""
    world = World()
    world.lands_with = [{"InstructionError": [0, {"Custom": custom}]}]
    request_cancel(world)
    await world.execution.run()
    assert world.store.stored.status is Status.CANCELLED
    assert len(world.signer.signed) == 1
    last = world.events[-1]
    assert (last.type, last.status, last.previous_status, last.attempt) == ("status", "cancelled", "submitted", 1)
    assert last.data["errorCode"] in ("swap_failed", "slippage_exceeded", "swap_rejected")


@in_virtual_time
async def test_a_cancel_request_of_a_swap_that_lands_well_changes_nothing() -> None:
    """What is done is done."""
    world = World()
    request_cancel(world)
    await world.execution.run()
    assert world.store.stored.status is Status.CONFIRMED


@in_virtual_time
async def test_a_cancellation_whose_reply_was_lost_is_found_by_reading_and_told() -> None:
    """The stored order is not what the worker asked for, and yet it is the answer to its move."""
    world = World()
    world.lands_with = [{"InstructionError": [0, {"Custom": 6000}]}]
    request_cancel(world)
    world.store.lose_replies = [Status.ROUTING]
    await world.execution.run()
    assert world.events[-1].status == "cancelled"
    assert [event.seq for event in world.events] == [2, 3, 4, 6]


def request_cancel(world: World) -> None:
    """Let the api store its owner's request as soon as the order is submitted."""

    def note_request(_move: Move) -> None:
        stored = world.store.stored
        if stored.status is Status.SUBMITTED and stored.cancel_requested_at is None:
            world.store.stored = replace(stored, version=stored.version + 1, cancel_requested_at=VirtualClock().now())

    world.store.before_move = note_request


@in_virtual_time
async def test_what_a_swap_paid_is_read_for_the_wallet_that_signed_it() -> None:
    """The key may have been rotated since: another wallet has received nothing."""
    order = stored_order(status=Status.SUBMITTED, version=5, lease_epoch=2, venue="raydium", pool="p")
    for kept in ("an earlier wallet", None):  # versions that did not keep it: the transaction has it
        world = World(order)
        swap = replace(world.signer.sign(order, await world.chain.latest_blockhash()), signer=kept)
        world.store.attempts[1] = swap
        await world.execution.run()
        asked = [call for call in world.chain.calls if call[0] == "received_amount"]
        assert asked == [("received_amount", swap.signature, kept or world.signer.signer_of(swap.transaction))]


@in_virtual_time
async def test_an_execution_that_is_ended_from_outside_stops_at_once() -> None:
    """Its last commit stands, and whoever takes the order goes on from there."""
    world = World()
    world.lands_after_s = 1_000
    task = asyncio.create_task(world.execution.run())
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sent = len(world.chain.sent)
    await asyncio.sleep(10)
    assert world.store.stored.status is Status.SUBMITTED
    assert len(world.chain.sent) == sent
