"""One order's life against a store, venues and a chain in memory: what is committed, and in which order."""

import asyncio
from dataclasses import replace

import pytest

from engine_common.errors import StoreRefused
from engine_common.store.door import Move
from engine_common.transitions import Status
from support.orders import stored_order
from support.simulation import PAID, FakeVenue, World, quote
from support.virtual_time import in_virtual_time

HAPPY = ["routing", "building", "submitted", "confirmed"]


@in_virtual_time
async def test_an_order_goes_from_queued_to_confirmed_by_one_transition_each() -> None:
    """With the better venue's pool, the route's floor, and what the chain says was paid."""
    world = World()
    await world.execution.run()
    assert world.store.path == HAPPY
    assert world.store.stored.version == 5
    route, _, confirmed = world.store.moves[1], world.store.moves[2], world.store.moves[3]
    assert (route.venue, route.floor) == ("raydium", 990)
    assert (confirmed.amount_out, confirmed.outcome) == (PAID, "confirmed")
    assert confirmed.data == {
        "txHash": f"{world.store.stored.id}/1",
        "executionPrice": "0.000663333333333",
        "amountOut": "0.000995",
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
    order = stored_order(status="submitted", version=5, lease_epoch=2, venue="raydium", pool="p", min_amount_out=1)
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


@in_virtual_time
async def test_a_move_that_the_database_refuses_ends_the_attempt_with_its_reason() -> None:
    """Repeating it would only be refused again."""
    world = World()
    refusals = [StoreRefused("value out of range"), None, None]

    def refuse(move: Move) -> None:
        if move.target is Status.BUILDING and (refusal := refusals.pop(0)):
            raise refusal

    world.store.before_move = refuse
    await world.execution.run()
    assert world.store.path == ["routing", "routing", *HAPPY[1:]]
    assert world.store.moves[1].outcome == "unexpected_error"


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
