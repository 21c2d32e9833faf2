from base64 import b64decode, b64encode

import orjson
import pytest

from integration.mockdex.exchanges import Answered
from integration.mockdex.swaps import BONK, SOL, USDC, Wanted, sign

BASE64 = {"encoding": "base64"}


async def raw(exchange, body):
    """Post a body as it is; return status and JSON."""
    status, answer, _ = await exchange.ask.http("POST", "/rpc", body)
    return status, answer


async def test_height_and_slot_come_in_one_answer(exchange):
    await exchange.pass_blocks(5)
    info = await exchange.ask.rpc("getEpochInfo", {"commitment": "finalized"})
    assert info["blockHeight"] == await exchange.ask.rpc("getBlockHeight") == 6
    assert info["absoluteSlot"] == info["slotIndex"] == 1_006
    assert (info["epoch"], info["slotsInEpoch"], info["transactionCount"]) == (0, 432_000, 0)


async def test_every_block_has_a_hash_of_its_own(exchange):
    seen = set()
    for _ in range(5):
        answer = await exchange.ask.rpc("getLatestBlockhash")
        assert answer["context"]["slot"] == exchange.exchange.chain.slot
        seen.add(answer["value"]["blockhash"])
        await exchange.pass_blocks(1)
    assert len(seen) == 5


async def test_a_batch_is_answered_call_by_call_in_order(exchange):
    answers = await exchange.ask.batch(
        ("getBlockHeight",), ("sendTransaction", exchange.swap(), BASE64), ("noSuchMethod",), ("getBlockHeight",)
    )
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert answers[0]["result"] == answers[3]["result"] == exchange.exchange.chain.height
    assert answers[2]["error"]["code"] == -32601


async def test_a_body_has_at_most_50_kib_as_a_stock_validator_takes_them(exchange):
    calls = [("getBlockHeight", "x" * 1_000)] * 52
    assert (await exchange.ask.batch(*calls))["code"] == "body_too_large"
    assert len(await exchange.ask.batch(*calls[:40])) == 40
    await exchange.ask.tune(rpc_max_body_bytes=200)
    status, answer = await raw(exchange, b"[" + b" " * 200 + b"]")
    assert (status, answer["message"]) == (413, "a request has at most 200 bytes")


async def test_a_node_may_take_few_calls_together_or_no_arrays_at_all(exchange):
    await exchange.ask.tune(rpc_max_batch=2)
    assert len(await exchange.ask.batch(*[("getBlockHeight",)] * 2)) == 2
    assert (await exchange.ask.batch(*[("getBlockHeight",)] * 3))["code"] == "batch_too_large"
    await exchange.ask.tune(rpc_max_batch=1)
    status, answer = await raw(exchange, b'[{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}]')
    assert (status, answer["code"]) == (400, "no_batches")
    assert await exchange.ask.rpc("getBlockHeight")


async def test_a_node_may_limit_the_rate_and_says_when_to_come_back(exchange):
    await exchange.ask.tune(rpc_rate_limit=3)
    answers = [
        await exchange.ask.http("POST", "/rpc", b'{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}')
        for _ in range(20)
    ]
    limited = [headers["retry-after"] for status, _, headers in answers if status == 429]
    assert len(limited) >= 15
    assert set(limited) == {"1"}
    await exchange.ask.tune(rpc_rate_limit=0)
    assert await exchange.ask.rpc("getBlockHeight")


async def test_a_node_may_want_a_key(exchange):
    await exchange.ask.tune(rpc_api_key="let-me-in")
    call = b'{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}'
    for query, status in (("", 401), ("?api-key=other", 401), ("?api-key=let-me-in", 200)):
        assert (await exchange.ask.http("POST", f"/rpc{query}", call))[0] == status


async def test_a_node_may_have_pruned_a_transaction_whose_status_it_knows(exchange):
    signature = await exchange.ask.rpc("sendTransaction", exchange.swap(), BASE64)
    await exchange.pass_ms(4_000)
    await exchange.ask.tune(transaction_pruned_rate=1.0)
    (status,) = (await exchange.ask.rpc("getSignatureStatuses", [signature]))["value"]
    assert status["err"] is None
    assert await exchange.ask.rpc("getTransaction", signature, {"encoding": "json"}) is None
    await exchange.ask.tune(transaction_pruned_rate=0.0)
    assert await exchange.ask.rpc("getTransaction", signature, {"encoding": "json"}) is not None


async def test_a_batch_has_at_most_512_calls(exchange):
    await exchange.ask.tune(rpc_max_body_bytes=10**6)
    assert len(await exchange.ask.batch(*[("getBlockHeight",)] * 512)) == 512
    assert (await exchange.ask.batch(*[("getBlockHeight",)] * 513))["error"]["code"] == -32600
    assert (await raw(exchange, b"[]"))[1]["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"17", -32600),
        (b'{"jsonrpc":"2.0","method":"getBlockHeight"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBlockHeight","params":{"a":1}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["AAAA"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getTransaction","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSignatureStatuses","params":["a"]}', -32602),
    ],
)
async def test_a_bad_call_is_an_error_of_json_rpc_not_of_http(exchange, body, code):
    status, answer = await raw(exchange, body)
    assert (status, answer["error"]["code"]) == (200, code)


async def test_missing_parameters_may_be_left_out_or_null(exchange):
    for body in (
        b'{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}',
        b'{"id":1,"method":"getBlockHeight","params":null}',
    ):
        assert (await raw(exchange, body))[1]["result"] == exchange.exchange.chain.height


async def test_at_most_256_statuses_are_asked_for_at_once(exchange):
    _, values = await exchange.ask.statuses(*["x"] * 256)
    assert values == [None] * 256
    with pytest.raises(Answered) as answered:
        await exchange.ask.statuses(*["x"] * 257)
    assert answered.value.code == -32602


async def test_what_was_never_seen_is_null(exchange):
    assert await exchange.ask.rpc("getTransaction", "unknown") is None
    assert (await exchange.ask.statuses("unknown", history=True))[1] == [None]


async def test_other_methods_of_http_and_large_bodies_are_refused(exchange):
    assert (await exchange.ask.http("GET", "/rpc"))[0] == 405
    assert (await raw(exchange, b" " * (2 * 1024 * 1024 + 1)))[0] == 413


async def test_a_signature_that_does_not_verify_is_refused(exchange):
    """Flipping a bit of the order id leaves a well-formed transaction that nobody signed."""
    wire = bytearray(b64decode(exchange.swap()))
    wire[-10] ^= 1
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(b64encode(wire).decode())
    assert answered.value.code == -32003


@pytest.mark.parametrize("encoded", ["", "!", "AAAA", b64encode(bytes(1233)).decode(), "é"])
async def test_bytes_that_are_no_transaction_are_refused(exchange, encoded):
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(encoded)
    assert answered.value.code == -32602


async def test_a_swap_must_agree_with_the_pool_it_names(exchange):
    """A foreign program, a pool of another pair, an amount of nothing: signed properly, but no swaps."""
    markets = exchange.exchange.markets
    good = exchange.swap
    other_venue, _ = markets.find("meteora", SOL, USDC)
    other_pair, _ = markets.find("raydium", BONK, SOL)
    blockhash, _ = exchange.exchange.chain.latest_blockhash()
    bad = [
        Wanted(other_venue.address, blockhash, 1),
        Wanted(other_pair.address, blockhash, 1),
        Wanted(SOL, blockhash, 1),
        Wanted(markets.find("raydium", SOL, USDC)[0].address, blockhash, 1, output_mint=BONK),
        Wanted(markets.find("raydium", SOL, USDC)[0].address, blockhash, 1, amount_in=0),
    ]
    for wanted in bad:
        with pytest.raises(Answered) as answered:
            await exchange.ask.send(sign(wanted))
        assert answered.value.code == -32602
    assert await exchange.ask.send(good())


async def test_any_pair_may_be_swapped_in_either_direction_at_either_venue(exchange):
    for number, (venue, source, target) in enumerate(
        (venue, *pair) for venue in ("raydium", "meteora") for pair in ((SOL, BONK), (BONK, SOL), (USDC, BONK))
    ):
        await exchange.ask.send(
            exchange.swap(number, venue=venue, input_mint=source, output_mint=target, amount_in=10**7)
        )
    await exchange.pass_ms(3_000)
    ledger = await exchange.ask.ledger()
    assert [row["error"] for row in ledger] == [None] * 6
    assert {(row["venue"], row["inputMint"], row["outputMint"]) for row in ledger} == {
        (venue, *pair) for venue in ("raydium", "meteora") for pair in ((SOL, BONK), (BONK, SOL), (USDC, BONK))
    }


async def test_a_single_call_answers_with_its_own_id(exchange):
    _, answer = await raw(exchange, orjson.dumps({"jsonrpc": "2.0", "id": {"a": 1}, "method": "getBlockHeight"}))
    assert answer["id"] == {"a": 1}
