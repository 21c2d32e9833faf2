import pytest

from integration.mockdex.swaps import BONK, SOL, USDC

ALL_MINTS = [
    SOL,
    USDC,
    BONK,
    "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
    "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN",
    "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R",
    "EKpQGSJtjMFqKZ9KQanSqYXRcFBfBopzLHYxdM65zcjm",
    "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3",
    "jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL",
    "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So",
]


@pytest.mark.parametrize(("venue", "fee_bps"), [("raydium", 25), ("meteora", 10)])
async def test_a_quote_has_the_fields_of_jupiters_api(exchange, venue, fee_bps):
    status, quote = await exchange.ask.quote(venue, amount=1_500_000_000)
    assert status == 200
    out = int(quote["outAmount"])
    assert quote == {
        "inputMint": SOL,
        "outputMint": USDC,
        "inAmount": "1500000000",
        "outAmount": str(out),
        "otherAmountThreshold": str(-(-out * 9_950 // 10_000)),
        "slippageBps": 50,
        "priceImpactPct": quote["priceImpactPct"],
        "feeAmount": str(1_500_000_000 * fee_bps // 10_000),
        "pool": exchange.exchange.markets.find(venue, SOL, USDC)[0].address,
        "contextSlot": exchange.exchange.chain.slot,
    }
    assert 0 <= float(quote["priceImpactPct"]) < 0.01


async def test_a_larger_amount_has_a_larger_impact(exchange):
    for venue in ("raydium", "meteora"):
        impacts = [
            float((await exchange.ask.quote(venue, amount=sol * 10**9))[1]["priceImpactPct"])
            for sol in (1, 10**4, 10**5)
        ]
        assert impacts == sorted(impacts)
        assert 0.1 < impacts[-1] < 5


async def test_there_are_pools_for_every_pair_in_both_directions(exchange):
    for venue in ("raydium", "meteora"):
        pools = set()
        for source in ALL_MINTS:
            for target in ALL_MINTS:
                status, quote = await exchange.ask.quote(venue, inputMint=source, outputMint=target, amount=10**8)
                assert status == (404 if source == target else 200)
                pools.add(quote.get("pool"))
        assert len(pools - {None}) == 45


async def test_an_unknown_pair_is_not_found(exchange):
    for change in ({"inputMint": "nonsense"}, {"outputMint": SOL}):
        status, body = await exchange.ask.quote(**change)
        assert (status, body["code"]) == (404, "unknown_pair")
        assert body["message"]


@pytest.mark.parametrize("venue", ["raydium", "meteora"])
async def test_an_amount_beyond_the_depth_or_of_dust_has_no_liquidity(exchange, venue):
    for amount, code in ((2**64 - 1, "insufficient_liquidity"), (1, "amount_too_small")):
        status, body = await exchange.ask.quote(venue, amount=amount)
        assert (status, body["code"]) == (422, code)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1.5"},
        {"amount": "x"},
        {"amount": ""},
        {"amount": str(2**64)},
        {"amount": "9" * 5_000},
        {"amount": "\u0661"},
        {"slippageBps": "10001"},
        {"slippageBps": "-1"},
        {"slippageBps": ""},
    ],
)
async def test_bad_parameters_are_named(exchange, change):
    status, body = await exchange.ask.quote(**change)
    assert (status, body["code"]) == (400, "invalid_request")
    assert next(iter(change)) in body["message"]


@pytest.mark.parametrize("missing", ["inputMint", "outputMint", "amount"])
async def test_missing_parameters_are_named(exchange, missing):
    wanted = {"inputMint": SOL, "outputMint": USDC, "amount": 1}
    del wanted[missing]
    status, body = await exchange.ask.get("/venues/raydium/quote", **wanted)
    assert (status, body["code"]) == (400, "invalid_request")
    assert missing in body["message"]


async def test_slippage_is_50_bps_unless_said_otherwise_and_may_be_everything(exchange):
    _, quote = await exchange.ask.get("/venues/raydium/quote", inputMint=SOL, outputMint=USDC, amount=10**9)
    assert quote["slippageBps"] == 50
    _, quote = await exchange.ask.quote(slippageBps=10_000)
    assert quote["otherAmountThreshold"] == "0"
    _, quote = await exchange.ask.quote(slippageBps=0)
    assert quote["otherAmountThreshold"] == quote["outAmount"]


async def test_percent_encoding_is_understood(exchange):
    status, quote, _ = await exchange.ask.http(
        "GET", f"/venues/raydium/quote?inputMint=%53{SOL[1:]}&outputMint={USDC}&amount=1%30000000"
    )
    assert (status, quote["inAmount"], quote["inputMint"]) == (200, "10000000", SOL)


async def test_a_quote_is_asked_for_by_get_only_and_at_known_venues_only(exchange):
    assert (await exchange.ask.http("DELETE", "/venues/raydium/quote"))[0] == 405
    status, body = await exchange.ask.get("/venues/orca/quote")
    assert (status, body["code"]) == (404, "not_found")


async def test_pools_are_listed_with_what_makes_their_price(exchange):
    status, raydium = await exchange.ask.get("/venues/raydium/pools")
    assert (status, len(raydium["pools"])) == (200, 45)
    pool = raydium["pools"][0]
    assert {"pool", "mintX", "mintY", "reserveX", "reserveY", "tradeFeeNumerator", "tradeFeeDenominator"} <= set(pool)
    _, meteora = await exchange.ask.get("/venues/meteora/pools")
    pool = meteora["pools"][0]
    assert {"pool", "mintX", "mintY", "activeId", "bins", "binStep", "baseFactor", "baseFeePowerFactor"} <= set(pool)
    assert pool["activeId"] in [each["id"] for each in pool["bins"]]
    assert (await exchange.ask.get("/venues/orca/pools"))[0] == 404


async def test_asking_changes_nothing(exchange):
    """The same question in the same slot has the same answer, whatever was asked in between."""
    first = await exchange.ask.quote("meteora")
    await exchange.ask.quote("meteora", amount=10**13)
    await exchange.ask.get("/venues/meteora/pools")
    assert await exchange.ask.quote("meteora") == first
