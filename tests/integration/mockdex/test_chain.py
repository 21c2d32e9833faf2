import pytest

from integration.mockdex.exchanges import Answered
from integration.mockdex.swaps import SOL, USDC, order_id, sign_many


async def test_a_swap_lands_after_its_delay_and_is_told_everywhere(exchange):
    """Accepted, in flight, landed: status, transaction and ledger agree on what was paid."""
    _, quote = await exchange.ask.quote()
    signature = await exchange.ask.send(exchange.swap(3, attempt=2, minimum_out=int(quote["otherAmountThreshold"])))
    await exchange.pass_ms(1_999)
    assert (await exchange.ask.statuses(signature))[1] == [None]
    assert await exchange.ask.rpc("getTransaction", signature, {}) is None
    await exchange.pass_ms(1_002)
    slot, [status] = await exchange.ask.statuses(signature)
    assert slot - 3 <= status.pop("slot") <= slot
    assert status == {"confirmations": None, "err": None, "status": {"Ok": None}, "confirmationStatus": "finalized"}
    [row] = await exchange.ask.ledger()
    assert row["signature"] == signature
    assert (row["orderId"], row["attempt"], row["error"], row["venue"]) == (str(order_id(3)), 2, None, "raydium")
    assert (row["amountIn"], row["minimumOut"], row["fee"]) == ("1000000000", quote["otherAmountThreshold"], "5000")
    transaction = await exchange.ask.rpc("getTransaction", signature, {"encoding": "json"})
    assert transaction["transaction"]["signatures"] == [signature]
    assert (transaction["meta"]["err"], transaction["meta"]["fee"]) == (None, 5000)
    assert changes(transaction) == {SOL: -(10**9), USDC: int(row["amountOut"])}


def changes(transaction):
    """Return what the balances have changed by, in base units, by mint."""
    before, after = (transaction["meta"][side] for side in ("preTokenBalances", "postTokenBalances"))
    return {
        old["mint"]: int(new["uiTokenAmount"]["amount"]) - int(old["uiTokenAmount"]["amount"])
        for old, new in zip(before, after, strict=True)
    }


async def test_legacy_transactions_land_too(exchange):
    signature = await exchange.ask.send(exchange.swap(legacy=True))
    await exchange.pass_ms(3_000)
    assert [row["signature"] for row in await exchange.ask.ledger()] == [signature]


async def test_the_same_bytes_never_run_twice(exchange):
    """Sent again while in flight the answer is the signature; after landing it is AlreadyProcessed."""
    swap = exchange.swap()
    signature = await exchange.ask.send(swap)
    drawn = dict(exchange.exchange.faults.drawn)
    assert await exchange.ask.send(swap) == signature
    assert exchange.exchange.faults.drawn == drawn
    await exchange.pass_ms(3_000)
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(swap)
    assert (answered.value.code, answered.value.err) == (-32002, "AlreadyProcessed")
    await exchange.pass_ms(3_000)
    assert len(await exchange.ask.ledger()) == 1


async def test_the_same_bytes_twice_in_one_batch_run_once(exchange):
    swap = exchange.swap()
    send = ("sendTransaction", swap, {"encoding": "base64"})
    first, second = await exchange.ask.batch(send, send)
    assert first["result"] == second["result"]
    await exchange.pass_ms(3_000)
    assert len(await exchange.ask.ledger()) == 1


async def test_what_landed_with_an_error_is_already_processed_too(open_exchange):
    exchange = await open_exchange(force_fail=True)
    swap = exchange.swap()
    await exchange.ask.send(swap)
    await exchange.pass_ms(3_000)
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(swap)
    assert answered.value.err == "AlreadyProcessed"


async def test_a_transaction_is_accepted_for_151_blockhashes_and_no_longer(exchange):
    """It may be sent up to its last valid height, whether or not it has landed before."""
    landed, late = exchange.swap(1), exchange.swap(2)
    latest = await exchange.ask.rpc("getLatestBlockhash", {"commitment": "finalized"})
    height = await exchange.ask.rpc("getBlockHeight")
    assert latest["value"]["lastValidBlockHeight"] == height + 150
    await exchange.ask.send(landed)
    await exchange.pass_blocks(150)
    assert await exchange.ask.rpc("getBlockHeight") == height + 150
    assert await exchange.ask.send(late)
    await exchange.pass_blocks(1)
    for swap in (landed, late):
        with pytest.raises(Answered) as answered:
            await exchange.ask.send(swap)
        assert (answered.value.code, answered.value.err) == (-32002, "BlockhashNotFound")


async def test_what_is_due_after_its_last_valid_height_expires(exchange):
    """Accepted in the last valid block, due 2 s later: it never lands, and nothing is left of it."""
    swap = exchange.swap()
    await exchange.pass_blocks(150)
    signature = await exchange.ask.send(swap)
    await exchange.pass_blocks(20)
    assert (await exchange.ask.statuses(signature))[1] == [None]
    assert await exchange.ask.ledger() == []
    assert exchange.exchange.chain.in_flight == {}


async def test_what_is_due_in_its_last_valid_block_lands(open_exchange):
    exchange = await open_exchange(execution_delay_ms=0)
    swap = exchange.swap()
    await exchange.pass_blocks(150)
    signature = await exchange.ask.send(swap)
    await exchange.pass_blocks(1)
    _, [status] = await exchange.ask.statuses(signature)
    assert status["slot"] == (await exchange.ask.ledger())[0]["slot"] == exchange.exchange.chain.slot - 1


async def test_a_reported_height_means_that_all_below_it_is_visible(exchange):
    """Whatever lands in the blocks before the reported one is told by then, however long nobody looked."""
    signatures = []
    for number in range(20):
        signatures.append(await exchange.ask.send(exchange.swap(number)))
        await exchange.pass_ms(130)
    for _ in range(12):
        await exchange.pass_blocks(1)
        slot, statuses = await exchange.ask.statuses(*signatures)
        told = [status["slot"] for status in statuses if status]
        ledger = [row["slot"] for row in await exchange.ask.ledger()]
        assert sorted(told) == ledger
        due = [event[0] for event in exchange.exchange.chain._events]
        assert all(exchange.exchange.chain.time.height_at(ms) + 1000 >= slot for ms in due)
    assert len(ledger) == 20


async def test_nothing_is_visible_before_it_is_committed(exchange):
    signature = await exchange.ask.send(exchange.swap())
    exchange.ms += 3_000
    turn = exchange.exchange.chain.turn()
    height = exchange.exchange.chain.height
    assert turn is not None
    assert turn.height > height
    assert (await exchange.ask.statuses(signature, history=False))[1] == [None]
    assert (await exchange.ask.rpc("getEpochInfo"))["blockHeight"] == height
    await turn.committed
    exchange.exchange.chain.show(turn)
    assert (await exchange.ask.statuses(signature, history=False))[1] != [None]
    assert (await exchange.ask.rpc("getEpochInfo"))["blockHeight"] == turn.height


async def test_statuses_are_forgotten_after_150_blocks_but_not_by_history(exchange):
    signature = await exchange.ask.send(exchange.swap())
    await exchange.pass_ms(3_000)
    _, [status] = await exchange.ask.statuses(signature, history=False)
    await exchange.pass_blocks(150 - (exchange.exchange.chain.slot - status["slot"]))
    assert (await exchange.ask.statuses(signature, history=False))[1] == [status]
    await exchange.pass_blocks(1)
    assert (await exchange.ask.statuses(signature, history=False))[1] == [None]
    assert (await exchange.ask.statuses(signature, history=True))[1] == [status]
    # Long after memory has let go of it, storage still knows it.
    await exchange.pass_blocks(500)
    assert exchange.exchange.chain.landings.status(signature) is None
    statuses = (await exchange.ask.statuses(signature, "unknown", signature, history=True))[1]
    assert statuses == [status, None, status]


async def test_an_output_below_the_minimum_lands_as_slippage_exceeded_and_costs_the_fee(exchange):
    _, quote = await exchange.ask.quote()
    signature = await exchange.ask.send(exchange.swap(minimum_out=int(quote["outAmount"]) * 101 // 100))
    await exchange.pass_ms(3_000)
    transaction = await exchange.ask.rpc("getTransaction", signature, {})
    assert transaction["meta"]["err"] == {"InstructionError": [0, {"Custom": 6001}]}
    assert transaction["meta"]["fee"] == 5000
    assert changes(transaction) == {SOL: 0, USDC: 0}
    [row] = await exchange.ask.ledger()
    assert (row["error"], row["amountOut"], row["fee"]) == (6001, None, "5000")
    _, [status] = await exchange.ask.statuses(signature)
    assert status["err"] == {"InstructionError": [0, {"Custom": 6001}]} == status["status"]["Err"]


async def test_more_than_the_pool_has_lands_as_slippage_exceeded(exchange):
    await exchange.ask.send(exchange.swap(amount_in=2**64 - 1))
    await exchange.pass_ms(3_000)
    assert [row["error"] for row in await exchange.ask.ledger()] == [6001]


async def test_trades_move_the_pool_they_are_executed_against(exchange):
    """The quote after a large sale is worse; arbitrage brings it back."""
    before = int((await exchange.ask.quote())[1]["outAmount"])
    await exchange.ask.send(exchange.swap(amount_in=400_000 * 10**9))
    await exchange.pass_ms(3_000)
    moved = int((await exchange.ask.quote())[1]["outAmount"])
    await exchange.pass_ms(30_000)
    recovered = int((await exchange.ask.quote())[1]["outAmount"])
    assert moved < before * 98 // 100
    assert abs(recovered - before) < before // 100


async def test_ten_thousand_swaps_are_in_flight_at_once(exchange):
    signatures = []
    for first in range(0, 10_000, 80):  # as many as a body of 50 KiB holds
        swaps = sign_many(exchange.wanted(10**20), range(first, first + 80))
        calls = [("sendTransaction", swap, {"encoding": "base64"}) for swap in swaps]
        signatures += [answer["result"] for answer in await exchange.ask.batch(*calls)]
    chain = exchange.exchange.chain
    assert len(chain.in_flight) == len(set(signatures)) == 10_000
    await exchange.pass_ms(3_000)
    assert chain.landed_count == 10_000
    assert not chain.in_flight
    assert not chain._encoded
    assert not chain._events
    _, statuses = await exchange.ask.statuses(*signatures[:256])
    assert all(statuses)
    ledger = await exchange.ask.ledger()
    assert {row["signature"] for row in ledger} == set(signatures)
    assert [int(row["cursor"]) for row in ledger] == list(range(1, 10_001))
