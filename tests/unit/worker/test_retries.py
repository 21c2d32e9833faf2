"""What ends an attempt, what only makes it wait, and how long, in virtual time."""

import asyncio
from datetime import timedelta

import pytest

from engine_common.errors import AmountTooSmall, NoLiquidity, UnknownPair, Unreachable
from engine_common.transitions import Status
from engine_worker.execution import RetryPolicy
from support.orders import stored_order
from support.simulation import FakeVenue, Steady, World, quote
from support.virtual_time import VirtualClock, in_virtual_time

TRANSIENT = {"InstructionError": [0, {"Custom": 6000}]}
SLIPPED = {"InstructionError": [0, {"Custom": 6001}]}
FINAL = {"InstructionError": [0, {"Custom": 3}]}
DRY = NoLiquidity("the pools are empty")
SILENT = Unreachable("no answer")


def venues(*answers: object) -> list[FakeVenue]:
    """Return two venues that both give these answers, one after another."""
    return [FakeVenue(name, list(answers)) for name in ("raydium", "meteora")]


@pytest.mark.parametrize(("error", "code"), [(TRANSIENT, "swap_failed"), (SLIPPED, "slippage_exceeded")])
@in_virtual_time
async def test_a_retryable_verdict_of_the_chain_begins_the_next_attempt(error: object, code: str) -> None:
    """As a `retrying` event with its reason, the failed attempt and the time of the next."""
    world = World()
    world.lands_with = [error, None]
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "routing", "building", "submitted", "confirmed"]
    retry = world.store.moves[3]
    assert (retry.outcome, retry.attempt, retry.delay_ms) == (code, 2, 500)
    assert retry.data["errorCode"] == code
    assert retry.data["errorReason"] == retry.outcome_reason
    assert retry.data["failedAttempt"] == 1
    assert retry.data["nextAttemptAt"].endswith("Z")
    event = world.events[3]
    assert (event.type, event.status, event.previous_status, event.attempt) == ("retrying", "routing", "submitted", 2)


@in_virtual_time
async def test_attempts_end_with_the_last_verdict_as_the_orders_reason() -> None:
    """Three attempts, two retries, then failed with code and sentence."""
    world = World()
    world.lands_with = [TRANSIENT]
    await world.execution.run()
    failed = world.store.moves[-1]
    assert world.store.path.count("submitted") == 3
    assert (failed.target, failed.error_code, failed.outcome, failed.attempt) == (
        Status.FAILED,
        "swap_failed",
        "swap_failed",
        3,
    )
    assert failed.error_reason == failed.data["errorReason"] == failed.outcome_reason


@in_virtual_time
async def test_no_two_attempts_send_the_same_bytes() -> None:
    """Each attempt is signed anew, for its own number."""
    world = World()
    world.lands_with = [TRANSIENT, TRANSIENT, None]
    await world.execution.run()
    assert len({transaction for _, transaction in world.chain.sent}) == 3
    assert [world.store.attempts[n].transaction for n in (1, 2, 3)] == [
        swap.transaction for swap in world.signer.signed
    ]


@in_virtual_time
async def test_any_other_landed_error_is_final_at_the_first_attempt() -> None:
    """Trying again would only repeat it."""
    world = World()
    world.lands_with = [FINAL]
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "failed"]
    assert world.store.moves[-1].error_code == "swap_rejected"


@pytest.mark.parametrize(
    ("order", "answers", "code"),
    [
        ({"min_amount_out": 2_000}, (quote(amount_out=1_999),), "slippage_exceeded"),
        ({}, (RuntimeError("a bug"),), "unexpected_error"),
    ],
)
@in_virtual_time
async def test_a_verdict_of_the_venues_spends_an_attempt(
    order: dict[str, int], answers: tuple[object], code: str
) -> None:
    """A quote below the minimum output, the first included, and a bug of ours before anything was sent, too."""
    now = VirtualClock().now()
    world = World(stored_order(state_since=now, updated_at=now, **order), venues=venues(*answers))
    await world.execution.run()
    assert world.store.path == ["routing", "routing", "routing", "failed"]
    assert [move.outcome for move in world.store.moves[1:]] == [code] * 3
    assert world.store.stored.attempt == 3


@in_virtual_time
async def test_the_first_attempts_minimum_output_holds_for_the_second() -> None:
    """A worse market is slippage, not a new minimum."""
    answers = [quote(amount_out=1_000), quote(amount_out=980), quote(amount_out=996)]
    world = World(venues=[FakeVenue("raydium", answers), FakeVenue("meteora", [DRY])])
    world.lands_with = [TRANSIENT, None]
    await world.execution.run()
    assert [move.outcome for move in world.store.moves if move.target is Status.ROUTING] == [
        None,
        "swap_failed",
        "slippage_exceeded",
    ]
    assert (world.store.stored.min_amount_out, world.store.stored.effective_min_amount_out) == (None, 995)
    assert world.store.stored.status is Status.CONFIRMED


@in_virtual_time
async def test_an_expired_swap_is_tried_again_with_another_signature() -> None:
    """Only after the chain proved that the first never lands."""
    world = World()
    world.lands_after_s = 10_000
    await world.execution.run()
    assert [move.outcome for move in world.store.moves if move.outcome] == ["transaction_expired"] * 3
    assert len({transaction for _, transaction in world.chain.sent}) == 3


@in_virtual_time
async def test_one_attempt_is_the_strict_lifecycle_in_which_any_error_is_final() -> None:
    """No retry and no patience."""
    for answers in ((DRY,), (SILENT,), (RuntimeError("a bug"),)):
        world = World(venues=venues(*answers), max_attempts=1, patience_s=0.0)
        await world.execution.run()
        assert world.store.path == ["routing", "failed"]
    assert VirtualClock().monotonic() < 0.1


@in_virtual_time
async def test_in_the_strict_lifecycle_an_unknown_outcome_is_still_asked_of_the_chain() -> None:
    """A silent chain is no error in `submitted`, however long."""
    world = World(max_attempts=1, patience_s=0.0)
    world.lands_after_s = 40
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, setattr, world.chain, "silent", True)
    loop.call_later(55, setattr, world.chain, "silent", False)
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "confirmed"]
    assert VirtualClock().monotonic() >= 55


@in_virtual_time
async def test_silent_venues_are_waited_for_without_event_and_without_spending_an_attempt() -> None:
    """Ten failures, then a quote: one attempt."""
    world = World(venues=venues(*[SILENT] * 10, quote()))
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "confirmed"]
    assert world.store.stored.attempt == 1
    assert len(world.events) == 4


@in_virtual_time
async def test_patience_ends_in_dex_unavailable_for_good() -> None:
    """30 s of silence since the state's last event; that is final whatever attempts are left."""
    world = World(venues=venues(SILENT))
    await world.execution.run()
    assert world.store.path == ["routing", "failed"]
    assert world.store.moves[-1].error_code == "dex_unavailable"
    assert 30 <= VirtualClock().monotonic() <= 33


@in_virtual_time
async def test_a_silent_chain_exhausts_patience_while_building_too() -> None:
    """Nothing was sent, so nothing is unknown."""
    world = World()
    world.chain.silent = True
    await world.execution.run()
    assert world.store.path == ["routing", "building", "failed"]
    assert world.store.moves[-1].error_code == "dex_unavailable"


@in_virtual_time
async def test_a_new_state_has_new_patience() -> None:
    """It counts since the last status or retrying event, not since the beginning."""
    world = World(venues=[FakeVenue("raydium", [SILENT] * 14 + [quote()]), FakeVenue("meteora", [SILENT])])
    await world.execution.run()
    assert world.store.stored.status is Status.CONFIRMED
    assert VirtualClock().monotonic() > 20


@in_virtual_time
async def test_a_recovered_order_keeps_the_patience_that_is_left() -> None:
    """Its state began before the crash: 25 s of 30 are gone by the database's clock."""
    now = VirtualClock().now()
    order = stored_order(
        status="routing", version=3, lease_epoch=2, state_since=now - timedelta(seconds=25), updated_at=now
    )
    world = World(order, venues=venues(SILENT))
    await world.execution.run()
    assert world.store.path == ["failed"]
    assert 5 <= VirtualClock().monotonic() <= 8


@pytest.mark.parametrize("reason", [DRY, UnknownPair("no pool"), AmountTooSmall("dust")])
@in_virtual_time
async def test_what_no_venue_can_fill_fails_at_once(reason: NoLiquidity) -> None:
    """Whatever attempts are left: the market would have to change, and a MARKET order does not wait for that."""
    world = World(venues=venues(reason))
    await world.execution.run()
    assert world.store.path == ["routing", "failed"]
    assert (world.store.moves[-1].error_code, world.store.stored.attempt) == (reason.code, 1)
    assert [venue.asked for venue in world.venues] == [1, 1]


@in_virtual_time
async def test_a_landed_swap_whose_amount_no_node_shows_says_so_once_and_is_confirmed_when_one_does() -> None:
    """The order waits in the open: `landedAt` and an event tell its owner that the swap is done."""
    world = World()
    world.chain.received_amount_failures = [Unreachable("the node does not know the transaction yet")] * 30
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "confirmed"]
    assert [event.type for event in world.events] == ["status", "status", "status", "landed", "status"]
    assert world.store.stored.landed_at is not None
    assert [event.seq for event in world.events] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("failure", [Unreachable("no answer"), KeyError("meta")])
@in_virtual_time
async def test_in_submitted_neither_silence_nor_a_bug_is_ever_an_error(failure: Exception) -> None:
    """The swap landed and what it paid cannot be read for a minute: then it is confirmed."""
    world = World()
    world.chain.received_amount_failures = [failure] * 40
    await world.execution.run()
    assert world.store.path == ["routing", "building", "submitted", "confirmed"]
    assert VirtualClock().monotonic() > 60


@in_virtual_time
async def test_a_waiting_retry_begins_no_earlier_than_its_backoff_says() -> None:
    """The same delay is kept in the row and waited for in memory."""
    world = World(venues=venues(RuntimeError("a bug"), quote()), base_ms=10_000)
    await world.execution.run()
    assert world.store.moves[1].delay_ms == 10_000
    assert VirtualClock().monotonic() >= 10


@in_virtual_time
async def test_a_retry_whose_reply_was_lost_keeps_its_backoff() -> None:
    """It is committed with `not_before`; whoever reads that has to wait for it as well."""
    world = World(venues=venues(RuntimeError("a bug"), quote()), base_ms=10_000)
    world.store.before_move = lambda move: world.store.lose_replies.append(move.target) if move.delay_ms else None
    await world.execution.run()
    assert world.store.path == ["routing", "routing", "building", "submitted", "confirmed"]
    assert VirtualClock().monotonic() >= 10


@pytest.mark.parametrize(
    ("attempt", "planned_ms"), [(1, 500), (2, 1_000), (3, 2_000), (7, 32_000), (8, 60_000), (60, 60_000)]
)
def test_backoff_doubles_with_every_attempt_up_to_a_minute(attempt: int, planned_ms: int) -> None:
    """Without jitter, for the middle of the range."""
    assert RetryPolicy(100, 500, 30.0).backoff_ms(attempt, Steady()) == planned_ms


@pytest.mark.parametrize(("point", "backoff_ms"), [(0.0, 750), (0.5, 1_000), (1.0, 1_250)])
def test_jitter_is_at_most_a_quarter(point: float, backoff_ms: int) -> None:
    """In both directions."""
    assert RetryPolicy(3, 1_000, 30.0).backoff_ms(1, Steady(point)) == backoff_ms


@in_virtual_time
async def test_waits_for_a_silent_venue_grow_to_two_seconds_with_jitter() -> None:
    """So a venue that comes back is not met by everybody at once."""
    world = World(venues=venues(SILENT), max_attempts=2)
    await world.execution.run()
    assert set(world.randomness.bounds) == {(0.75, 1.25)}
