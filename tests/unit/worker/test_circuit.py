"""A venue's circuit: opens when nothing comes, lets one question through now and then, and closes on an answer."""

import asyncio

import pytest

from engine_common.errors import NoLiquidity, Unreachable
from engine_common.tokens import TOKENS
from engine_worker.circuit import FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, GuardedVenue, guard
from engine_worker.ports import Quote, QuoteRequest
from support.simulation import FakeVenue, World, quote
from support.virtual_time import VirtualClock, in_virtual_time

REQUEST = QuoteRequest(TOKENS["SOL"], TOKENS["USDC"], 1_000)
DEAD = Unreachable("answered nothing within 2 s")


async def ask(venue: GuardedVenue) -> Quote | str:
    """Return the quote, or what is said instead."""
    try:
        return await venue.quote(REQUEST)
    except (Unreachable, NoLiquidity) as error:
        return str(error)


def beside_another(venue: FakeVenue) -> GuardedVenue:
    """Return the venue behind its circuit; there is another one, and it answers."""
    guarded, _ = guard([venue, FakeVenue("another")], VirtualClock())
    return guarded


async def opened(venue: FakeVenue) -> GuardedVenue:
    """Return the dead venue's circuit once it is open."""
    guarded = beside_another(venue)
    await fail(guarded)
    return guarded


async def fail(guarded: GuardedVenue) -> None:
    """Ask the dead venue until its circuit is open."""
    for _ in range(FAILURES_TO_OPEN):
        assert not guarded.open
        assert await ask(guarded) == str(DEAD)
    assert guarded.open


@in_virtual_time
async def test_a_dead_venue_is_asked_no_more() -> None:
    """Whoever asks hears at once that it is left out."""
    venue = FakeVenue(answers=[DEAD])
    guarded = await opened(venue)
    assert "left out" in str(await ask(guarded))
    assert venue.asked == FAILURES_TO_OPEN


@in_virtual_time
async def test_single_failures_open_nothing() -> None:
    """An answer in between is an answer: a quote, or that there is no liquidity."""
    failures: list[Quote | Exception] = [DEAD] * (FAILURES_TO_OPEN - 1)
    venue = FakeVenue(answers=[*failures, quote(), *failures, NoLiquidity("none"), *failures, quote()])
    guarded = beside_another(venue)
    for _ in range(3 * FAILURES_TO_OPEN):
        await ask(guarded)
        assert not guarded.open


@in_virtual_time
async def test_after_a_pause_one_question_tries_the_venue_for_all() -> None:
    """The others are not held up by it."""
    venue = FakeVenue(answers=[DEAD])
    guarded = await opened(venue)
    await asyncio.sleep(FIRST_PAUSE_S)
    venue.answers = [quote()]
    answers = await asyncio.gather(*(ask(guarded) for _ in range(3)))
    assert answers[0] == quote()
    assert venue.asked == FAILURES_TO_OPEN + 3  # the first was answered before the others asked


class HangingVenue(FakeVenue):
    """Answers nothing, not even that, as long as it hangs."""

    def __init__(self) -> None:
        super().__init__(answers=[DEAD])
        self.hangs = False
        self.asking = asyncio.Event()

    async def quote(self, request: QuoteRequest) -> Quote:
        if self.hangs:
            self.asking.set()
            await asyncio.Event().wait()
        return await super().quote(request)


@in_virtual_time
async def test_while_one_tries_the_others_go_on_and_if_it_is_let_go_another_tries() -> None:
    """An order that is taken away in the middle of its question does not leave the circuit open for ever."""
    venue = HangingVenue()
    guarded = await opened(venue)
    venue.hangs = True
    await asyncio.sleep(FIRST_PAUSE_S)
    trying = asyncio.create_task(ask(guarded))
    await venue.asking.wait()
    assert "left out" in str(await ask(guarded))
    trying.cancel()
    await asyncio.wait((trying,))
    venue.hangs, venue.answers = False, [quote()]
    assert await ask(guarded) == quote()
    assert not guarded.open


@in_virtual_time
async def test_the_longer_it_is_dead_the_longer_the_pauses_up_to_a_bound() -> None:
    """And the first answer brings it back, with short pauses again."""
    venue = FakeVenue(answers=[DEAD])
    guarded = await opened(venue)
    tries = []
    began = asyncio.get_running_loop().time()
    while len(tries) < 6:
        before = venue.asked
        await ask(guarded)
        if venue.asked > before:
            tries.append(asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.1)
    pauses = [round(later - earlier, 1) for earlier, later in zip([0.0, *tries], tries, strict=False)]
    assert pauses == pytest.approx([1, 2, 4, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S], abs=0.2)
    venue.answers = [quote()]
    await asyncio.sleep(LONGEST_PAUSE_S)
    assert await ask(guarded) == quote()
    venue.answers = [DEAD]
    for _ in range(FAILURES_TO_OPEN):
        await ask(guarded)
    venue.answers = [quote()]
    await asyncio.sleep(FIRST_PAUSE_S)
    assert await ask(guarded) == quote()


@in_virtual_time
async def test_a_late_answer_closes_the_circuit_and_a_late_failure_leaves_it() -> None:
    """Questions that were asked before it opened come back after that."""
    venue = FakeVenue(answers=[DEAD])
    guarded = beside_another(venue)
    await asyncio.gather(*(ask(guarded) for _ in range(3 * FAILURES_TO_OPEN)))
    assert guarded.open
    await asyncio.sleep(FIRST_PAUSE_S)
    venue.answers = [quote()]
    assert await ask(guarded) == quote()


class LateVenue(FakeVenue):
    """Answers the first question late, and no other one; those take a while to fail."""

    async def quote(self, request: QuoteRequest) -> Quote:
        del request
        self.asked += 1
        if self.asked == 1:
            await asyncio.sleep(10)
            return quote()
        await asyncio.sleep(0.5)
        raise DEAD


@in_virtual_time
async def test_a_late_answer_during_a_try_leaves_the_trys_failure_to_count_like_any_other() -> None:
    """The circuit is closed by then, and one missing answer does not open it."""
    guarded = beside_another(LateVenue())
    late = asyncio.create_task(ask(guarded))
    await asyncio.sleep(0)
    await fail(guarded)
    await asyncio.sleep(9.9 - asyncio.get_running_loop().time())
    trying = asyncio.create_task(ask(guarded))
    await late
    assert not guarded.open
    assert await trying == str(DEAD)
    assert not guarded.open


@in_virtual_time
async def test_with_one_venue_dead_the_other_goes_on_alone() -> None:
    """An order says why only one venue quoted."""
    raydium, meteora = FakeVenue("raydium", [DEAD]), FakeVenue("meteora", [quote("meteora")])
    guarded = guard([raydium, meteora], VirtualClock())
    await fail(guarded[0])
    world = World(venues=guarded)
    await world.execution.run()
    assert world.store.path[-1] == "confirmed"
    routing = next(event for event in world.events if event.status == "building").data["routing"]
    assert (routing["chosen"], routing["reason"]) == ("meteora", "only venue that quoted")
    assert "left out" in next(each["error"] for each in routing["quotes"] if each["venue"] == "raydium")
    assert raydium.asked == FAILURES_TO_OPEN


@pytest.mark.parametrize("patience_s", [0.0, 30.0])
@in_virtual_time
async def test_with_all_venues_dead_every_order_asks_so_that_none_fails_when_they_are_back(patience_s: float) -> None:
    """Not even one that has no patience: nobody else would have looked."""
    raydium, meteora = FakeVenue("raydium", [DEAD]), FakeVenue("meteora", [DEAD])
    guarded = guard([raydium, meteora], VirtualClock())
    for each in guarded:
        await fail(each)
    raydium.answers, meteora.answers = [quote()], [quote("meteora")]
    world = World(venues=guarded, patience_s=patience_s)
    await world.execution.run()
    assert world.store.path[-1] == "confirmed"
    assert world.store.stored.attempt == 1
    assert not guarded[0].open


@in_virtual_time
async def test_with_all_venues_dead_an_order_waits_and_goes_on_when_one_is_back() -> None:
    """It is not failed because nobody looked."""
    raydium = FakeVenue("raydium", [DEAD])
    guarded = guard([raydium], VirtualClock())
    await fail(guarded[0])
    world = World(venues=guarded)
    running = asyncio.create_task(world.execution.run())
    await asyncio.sleep(15)
    assert world.store.path == ["routing"]
    raydium.answers = [quote()]
    await running
    assert world.store.path[-1] == "confirmed"
    assert world.store.stored.attempt == 1
