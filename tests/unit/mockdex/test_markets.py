import random

import pytest

from mockdex.markets import Arbitrage, Markets
from mockdex.prices import PriceWalk
from mockdex.tokens import TOKENS

MINTS = {token.symbol: token.mint for token in TOKENS}
ONE_SOL = 10**9


@pytest.fixture(scope="module")
def markets():
    return Markets(PriceWalk(11), block_ms=400)


@pytest.fixture(params=["raydium", "meteora"])
def market(markets, request):
    """Give a venue's SOL/USDC pool, at rest."""
    found, x_to_y = markets.find(request.param, MINTS["SOL"], MINTS["USDC"])
    assert x_to_y
    found.restore((), 0)
    return found


def paid(market, slot, amount=ONE_SOL):
    return market.book(slot).fill(amount, x_to_y=True).amount_out


def test_pools_have_addresses_of_their_own_that_never_change(markets):
    assert len({market.address for market in markets.by_key.values()}) == len(markets.by_key) == 90
    again = Markets(PriceWalk(12), block_ms=400)
    assert set(again.by_key) == set(markets.by_key)


def test_displacement_halves_every_two_seconds():
    """5 slots of 400 ms; halves are rounded towards rest."""
    arbitrage = Arbitrage(400)
    assert arbitrage.left((1_000_000, -1_000_000), 0) == (1_000_000, -1_000_000)
    assert arbitrage.left((1_000_001, -1_000_001), 5) == pytest.approx((500_000, -500_000), abs=1)
    assert arbitrage.left((1_000_000, -1_000_000), 10) == pytest.approx((250_000, -250_000), abs=1)
    assert arbitrage.left((10**18,), 1_000) == ()


def test_how_long_blocks_are_does_not_change_how_fast_arbitrage_is():
    by_long_blocks = Arbitrage(400).left((10**12,), 10)[0]
    by_short_blocks = Arbitrage(20).left((10**12,), 200)[0]
    assert abs(by_long_blocks - by_short_blocks) <= 1


def test_twenty_thousand_one_sided_swaps_do_not_drive_the_price_away(market):
    """All in one slot they cost 0.4 %; the price is back soon after."""
    rest = paid(market, 2_000)
    for _ in range(20_000):
        market.settle(2_000, market.book(2_000).fill(ONE_SOL, x_to_y=True))
    moved = paid(market, 2_000)
    assert rest * 9_955 // 10_000 < moved < rest
    later = 2_000 + 50
    displaced = paid(market, later)
    market.restore((), 0)
    assert abs(displaced - paid(market, later)) * 100_000 < displaced * 2


def test_ordinary_swaps_survive_three_seconds_of_ordinary_trade(market):
    """700 swaps of 1 to 10 SOL a second, all one way: with 50 bps fewer than 1 in 1,000 is under its minimum."""
    drawn = random.Random(1)
    failed = swaps = 0
    waiting = []
    for slot in range(3_000, 3_060):
        while waiting and waiting[0][0] <= slot:
            _, amount, minimum = waiting.pop(0)
            fill = market.book(slot).fill(amount, x_to_y=True)
            swaps += 1
            if fill.amount_out < minimum:
                failed += 1
            else:
                market.settle(slot, fill)
        for _ in range(280):
            amount = drawn.randrange(ONE_SOL, 10 * ONE_SOL)
            waiting.append((slot + 8, amount, -(-paid(market, slot, amount) * 9_950 // 10_000)))
    assert swaps > 10_000
    assert failed * 1_000 < swaps


def test_there_and_back_within_a_slot_never_pays(market):
    there = market.book(2_000).fill(1_000 * ONE_SOL, x_to_y=True)
    market.settle(2_000, there)
    back = market.book(2_000).fill(there.amount_out, x_to_y=False)
    assert back.amount_out < 1_000 * ONE_SOL


def test_a_restored_pool_goes_on_where_it_was(market):
    market.settle(2_000, market.book(2_000).fill(10_000 * ONE_SOL, x_to_y=True))
    displacement, slot = market.displacement, market.displaced_at
    expected = [paid(market, at) for at in (2_000, 2_003, 2_100)]
    market.restore((), 0)
    market.restore(displacement, slot)
    assert [paid(market, at) for at in (2_000, 2_003, 2_100)] == expected


def test_every_pool_pays_about_what_its_tokens_are_worth(markets):
    """Within the walk's reach, the venues' distance and the fee."""
    for market in markets.by_key.values():
        amount = 10**10
        fill = market.book(1_001).fill(amount, x_to_y=True)
        expected = amount * market.x.usd_femto * 10**market.y.decimals / (market.y.usd_femto * 10**market.x.decimals)
        assert fill.amount_out == pytest.approx(expected, rel=0.15)
