import pytest

from mockdex.prices import PPB, PriceWalk
from mockdex.tokens import TOKENS

BY_SYMBOL = {token.symbol: token for token in TOKENS}
SOL, USDC, BONK = BY_SYMBOL["SOL"], BY_SYMBOL["USDC"], BY_SYMBOL["BONK"]
DAY = 216_000
LATER = 9
"""slots that pass in 3.6 s: more than the longest execution delay by default"""


def at_venue(walk, place, slot, x=SOL, y=USDC):
    return walk.price_q64(x, y, slot, place, 2)


def test_a_price_is_a_function_of_seed_and_slot_alone():
    """In whatever order it is asked for, and by whomever."""
    one, other = PriceWalk(1), PriceWalk(1)
    forwards = [at_venue(one, 0, slot) for slot in range(5_000)]
    backwards = [at_venue(other, 0, slot) for slot in reversed(range(5_000))]
    assert forwards == backwards[::-1]


def test_seeds_walk_differently():
    assert [at_venue(PriceWalk(1), 0, slot) for slot in range(10)] != [
        at_venue(PriceWalk(2), 0, slot) for slot in range(10)
    ]


def test_a_price_stays_near_what_the_token_is_worth():
    """The octaves reach 0.02 + 0.15 + 1.2 + 4 %; base units: 150 USDC a SOL are 0.15 micro-USDC a lamport."""
    walk = PriceWalk(3)
    for slot in range(0, 10 * DAY, 997):
        worth = walk.worth(SOL, slot)
        assert abs(worth - SOL.usd_femto) <= SOL.usd_femto * 54 // 1_000
        assert 0.138 < at_venue(walk, 0, slot) / 2**64 < 0.163
        assert 0.87 < at_venue(walk, 0, slot, BONK, SOL) / 2**64 / (28e-6 / 1e5 / 150e-9) < 1.14


def test_the_price_walks():
    walk = PriceWalk(4)
    prices = [at_venue(walk, 0, slot) for slot in range(0, DAY, 500)]
    assert max(prices) > min(prices) * 102 // 100


@pytest.mark.parametrize("place", [0, 1])
def test_no_price_moves_far_within_the_longest_execution_delay(place):
    """Venues' drifts included: 25 bps at most, so that with 50 bps an ordinary swap survives."""
    walk = PriceWalk(5)
    for slot in range(0, 40_000, 3):
        before, after = at_venue(walk, place, slot), at_venue(walk, place, slot + LATER)
        assert abs(after - before) * 10_000 <= before * 25


def test_venues_are_two_to_five_percent_apart():
    """In 98 % of the slots; meanwhile one of them overtakes the other."""
    walk = PriceWalk(6)
    slots = range(0, 5 * DAY, 50)
    apart = [abs(at_venue(walk, 1, slot) / at_venue(walk, 0, slot) - 1) for slot in slots]
    assert max(apart) < 0.05
    assert sum(distance >= 0.02 for distance in apart) >= 0.98 * len(apart)


def test_on_a_new_chain_venues_are_apart_from_the_first_slot_on():
    for seed in range(50):
        walk = PriceWalk(seed)
        for slot in (1_001, 1_500, 2_000):
            assert 0.02 < abs(at_venue(walk, 1, slot) / at_venue(walk, 0, slot) - 1) < 0.05


def test_which_venue_is_better_depends_on_pair_and_time():
    walk = PriceWalk(7)
    pairs = [(x, y) for x in TOKENS for y in TOKENS if x is not y]
    assert {walk.distance_ppb(x, y, 1_000) > 0 for x, y in pairs} == {True, False}
    assert {walk.distance_ppb(SOL, USDC, slot) > 0 for slot in range(0, DAY, 500)} == {True, False}


def test_a_third_venue_stands_between_the_others():
    walk = PriceWalk(8)
    prices = [walk.price_q64(SOL, USDC, 1, place, 3) for place in range(3)]
    assert prices in (sorted(prices), sorted(prices, reverse=True))
    assert walk.price_q64(SOL, USDC, 1, 0, 1) == pytest.approx(prices[1], rel=1e-8)
    assert abs(walk.distance_ppb(SOL, USDC, 1)) < PPB // 20
