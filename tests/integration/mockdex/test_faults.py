import asyncio

import pytest

from integration.mockdex.exchanges import Answered

CERTAIN = 1.0


async def land(exchange, number=1, **changes):
    """Send a swap and let its delay pass; return its signature and its row of the ledger, if it has one."""
    signature = await exchange.ask.send(exchange.swap(number, **changes))
    await exchange.pass_ms(3_000)
    rows = {row["signature"]: row for row in await exchange.ask.ledger()}
    return signature, rows.get(signature)


@pytest.fixture(params=["by environment", "at run time"])
def open_with(request, open_exchange):
    """Open an exchange with settings from its start, or change them afterwards."""

    async def opener(**settings):
        if request.param == "by environment":
            return await open_exchange(**settings)
        exchange = await open_exchange()
        assert (await exchange.ask.tune(**settings))[0] == 200
        return exchange

    return opener


async def test_failed_swaps_land_with_custom_error_6000_and_cost_the_fee(open_with):
    exchange = await open_with(failure_rate=CERTAIN)
    before = await exchange.ask.quote()
    _, row = await land(exchange)
    assert (row["error"], row["amountOut"], row["fee"]) == (6000, None, "5000")
    await exchange.pass_ms(-3_000)
    after = await exchange.ask.quote()
    assert before[1]["pool"] == after[1]["pool"]
    assert (
        exchange.exchange.markets.find("raydium", before[1]["inputMint"], before[1]["outputMint"])[0].displacement == ()
    )


async def test_every_swap_fails_when_it_is_forced(open_with):
    exchange = await open_with(force_fail=True)
    assert [(await land(exchange, number))[1]["error"] for number in range(3)] == [6000] * 3


async def test_quotes_fail_with_500(open_with):
    exchange = await open_with(quote_error_rate=CERTAIN)
    status, body = await exchange.ask.quote()
    assert (status, body["code"]) == (500, "internal_error")


async def test_quotes_are_limited_with_retry_after(open_with):
    exchange = await open_with(rate_limit_rate=CERTAIN)
    query = "inputMint=a&outputMint=b&amount=1"
    status, body, headers = await exchange.ask.http("GET", f"/venues/meteora/quote?{query}")
    assert (status, body["code"], headers["retry-after"]) == (429, "rate_limited", "1")


async def test_json_rpc_is_limited_too(open_with):
    exchange = await open_with(rate_limit_rate=CERTAIN)
    status, body, headers = await exchange.ask.http("POST", "/rpc", b"{}")
    assert (status, body["code"], headers["retry-after"]) == (429, "rate_limited", "1")


async def test_a_venues_limit_does_not_hold_for_json_rpc(open_with):
    exchange = await open_with(rate_limit_rate_raydium=CERTAIN)
    assert (await exchange.ask.quote("raydium"))[0] == 429
    assert (await exchange.ask.quote("meteora"))[0] == 200
    assert await exchange.ask.rpc("getBlockHeight")


async def test_json_rpc_fails_with_503(open_with):
    exchange = await open_with(rpc_error_rate=CERTAIN)
    assert (await exchange.ask.http("POST", "/rpc", b"{}"))[0] == 503


async def test_pools_run_dry(open_with):
    exchange = await open_with(no_liquidity_rate=CERTAIN)
    status, body = await exchange.ask.quote()
    assert (status, body["code"]) == (422, "insufficient_liquidity")


async def test_quotes_are_held_back(open_with):
    """Nothing has been answered when a client's patience ends."""
    exchange = await open_with(quote_timeout_rate=CERTAIN)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(exchange.ask.quote(), 0.2)


async def test_dropped_sends_are_answered_and_forgotten(open_with):
    """A drop is drawn per send and is no acceptance: the same bytes land when they are sent again."""
    exchange = await open_with(drop_rate=CERTAIN)
    swap = exchange.swap()
    signature = await exchange.ask.send(swap)
    assert await exchange.ask.send(swap) == signature
    assert not exchange.exchange.chain.in_flight
    await exchange.ask.tune(drop_rate=0)
    assert await exchange.ask.send(swap) == signature
    await exchange.pass_ms(3_000)
    assert [row["signature"] for row in await exchange.ask.ledger()] == [signature]


async def test_some_accepted_transactions_never_land(open_with):
    """However often they are sent, and although the fault is over; then they expire."""
    exchange = await open_with(never_lands_rate=CERTAIN)
    swap = exchange.swap()
    signature = await exchange.ask.send(swap)
    await exchange.ask.tune(never_lands_rate=0)
    for _ in range(15):
        await exchange.pass_blocks(10)
        assert await exchange.ask.send(swap) == signature
    assert len(exchange.exchange.chain.in_flight) == 1
    await exchange.pass_blocks(1)
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(swap)
    assert answered.value.err == "BlockhashNotFound"
    assert not exchange.exchange.chain.in_flight
    assert (await exchange.ask.statuses(signature))[1] == [None]
    assert await exchange.ask.ledger() == []


async def test_late_landings_come_in_the_last_quarter_of_the_validity(open_with):
    exchange = await open_with(late_landing_rate=CERTAIN)
    first_slot = exchange.exchange.chain.slot
    for number in range(20):
        await exchange.ask.send(exchange.swap(number))
    await exchange.pass_blocks(110)
    assert await exchange.ask.ledger() == []
    await exchange.pass_blocks(50)
    slots = [row["slot"] - first_slot for row in await exchange.ask.ledger()]
    assert len(slots) == 20
    assert 110 < min(slots) < max(slots) <= 150


async def test_a_lost_reply_hangs_up_on_a_single_call_but_the_transaction_lands(open_with):
    exchange = await open_with(reply_lost_rate=CERTAIN)
    swap = exchange.swap()
    with pytest.raises(ConnectionResetError):
        await exchange.ask.send(swap)
    # Sent again it is accepted already, and that answer is not lost.
    signature = await exchange.ask.send(swap)
    await exchange.pass_ms(3_000)
    assert [row["signature"] for row in await exchange.ask.ledger()] == [signature]


async def test_a_lost_reply_leaves_a_gap_in_a_batch(open_with):
    exchange = await open_with(reply_lost_rate_meteora=CERTAIN)
    answers = await exchange.ask.batch(
        ("sendTransaction", exchange.swap(1), {"encoding": "base64"}),
        ("sendTransaction", exchange.swap(2, venue="meteora"), {"encoding": "base64"}),
        ("getBlockHeight",),
    )
    assert [answer["id"] for answer in answers] == [0, 2]
    await exchange.pass_ms(3_000)
    assert len(await exchange.ask.ledger()) == 2


@pytest.mark.parametrize("history", [True, False])
async def test_stale_statuses_are_those_of_the_slot_they_carry(open_with, history):
    """A node behind tells what was true at its slot, nothing newer, and admits which slot that is."""
    exchange = await open_with(stale_status_rate=CERTAIN)
    signatures = []
    for number in range(40):
        signatures.append(await exchange.ask.send(exchange.swap(number)))
        await exchange.pass_blocks(1)
    await exchange.pass_blocks(10)
    landed = {row["signature"]: row["slot"] for row in await exchange.ask.ledger()}
    assert len(landed) == 40
    behind = set()
    for _ in range(50):
        slot, statuses = await exchange.ask.statuses(*signatures, history=history)
        behind.add(exchange.exchange.chain.slot - slot)
        for signature, status in zip(signatures, statuses, strict=True):
            assert (status is not None) == (landed[signature] <= slot)
    assert min(behind) >= 1
    assert max(behind) <= 20
    assert len(behind) > 5


async def test_stale_statuses_of_the_distant_past_are_found_by_history(open_with):
    exchange = await open_with(stale_status_rate=CERTAIN)
    signature, row = await land(exchange)
    await exchange.pass_blocks(500)
    slot, [status] = await exchange.ask.statuses(signature, history=True)
    assert status["slot"] == row["slot"]
    assert slot < exchange.exchange.chain.slot


async def test_a_fault_may_strike_at_one_venue_only(open_with):
    exchange = await open_with(failure_rate_meteora=CERTAIN, quote_error_rate_raydium=CERTAIN)
    assert (await land(exchange, 1, venue="raydium"))[1]["error"] is None
    assert (await land(exchange, 2, venue="meteora"))[1]["error"] == 6000
    assert [(await exchange.ask.quote(venue))[0] for venue in ("raydium", "meteora")] == [500, 200]


async def test_a_venue_may_be_spared_from_a_fault(open_with):
    exchange = await open_with(quote_error_rate=CERTAIN, quote_error_rate_meteora=0.0)
    assert [(await exchange.ask.quote(venue))[0] for venue in ("raydium", "meteora")] == [500, 200]


async def test_rates_hold_on_average(open_with):
    """300 draws at 30 %: expected 90 with a deviation of 8, and the seed is fixed."""
    exchange = await open_with(quote_error_rate=0.3)
    failed = sum([(await exchange.ask.quote())[0] == 500 for _ in range(300)])
    assert 50 < failed < 130


async def test_fates_are_drawn_at_acceptance_and_kept(open_exchange):
    """Turning failures off does not save what was accepted before."""
    exchange = await open_exchange(failure_rate=CERTAIN)
    await exchange.ask.send(exchange.swap(1))
    await exchange.ask.tune(failure_rate=0)
    await exchange.ask.send(exchange.swap(2))
    await exchange.pass_ms(3_000)
    assert sorted(row["error"] or 0 for row in await exchange.ask.ledger()) == [0, 6000]


async def test_no_delay_means_no_delay_and_no_jitter(open_exchange):
    exchange = await open_exchange(execution_delay_ms=0)
    signature = await exchange.ask.send(exchange.swap())
    await exchange.pass_ms(0)
    assert (await exchange.ask.statuses(signature))[1] != [None]


async def test_execution_takes_two_to_three_seconds_by_default(exchange):
    chain = exchange.exchange.chain
    for number in range(200):
        await exchange.ask.send(exchange.swap(number))
    delays = [event.due_ms - chain.time.now() for event in chain.in_flight.values()]
    assert min(delays) >= 2_000
    assert max(delays) <= 3_000
    assert max(delays) - min(delays) > 800
