from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockdex.curves import Depth, InsufficientLiquidity
from mockdex.curves.meteora import (
    BINS_A_SIDE,
    FEE_RATE,
    Bin,
    MeteoraCurve,
    base_fee_rate,
    bin_price,
    swap_across,
    swap_in_bin,
)

ONE = 2**64
HALF = 2**63
TENTH_OF_A_PERCENT = 1_000_000

prices = st.integers(2**40, 2**90)
bins = st.lists(st.builds(Bin, st.just(0), prices, st.integers(1, 10**15)), min_size=1, max_size=6)
amounts = st.integers(1, 10**17)


def pool():
    """1 SOL = 150 USDC: 0.15 micro-USDC a lamport; either side holds 13,333 SOL or 2,000,000 USDC."""
    return MeteoraCurve(Depth(13_333 * 10**9, 2_000_000 * 10**6, 15 * ONE // 100))


def test_bin_prices_follow_the_formula():
    """(1 + 10 / 10,000) ** id, in 1 / 2**64, rounded down."""
    assert bin_price(0, 10) == ONE
    assert bin_price(1, 10) == ONE * 1_001 // 1_000
    assert bin_price(2, 10) == ONE * 1_002_001 // 1_000_000
    assert bin_price(-1, 10) == ONE * 1_000 // 1_001
    assert bin_price(3, 100) == ONE * 1_030_301 // 1_000_000


@given(st.integers(-8_000, 8_000), st.integers(1, 400))
def test_bin_prices_are_exact_to_the_last_bit_kept(bin_id, step):
    if abs(bin_id) * step > 100_000:
        bin_id = 100_000 // step * (1 if bin_id > 0 else -1)
    exact = Fraction(10_000 + step, 10_000) ** bin_id * ONE
    assert abs(bin_price(bin_id, step) - exact) <= 1


def test_the_base_fee_is_worked_out_from_the_pools_parameters_and_capped():
    """10,000 * 10 * 10 = 1,000,000 in 1e-9: 0.1 %; with power factor 1 it is 1 %, with 3 the cap of 10 % holds."""
    assert base_fee_rate(10_000, 10, 0) == 1_000_000 == FEE_RATE
    assert base_fee_rate(10_000, 10, 1) == 10_000_000
    assert base_fee_rate(10_000, 10, 3) == 100_000_000


def test_a_bin_that_suffices_takes_its_fee_out_of_the_input():
    """At price 2: fee = ceil(10,000 * 0.001) = 10, net = 9,990, out = floor(9,990 * 2) = 19,980."""
    assert swap_in_bin(Bin(0, 2 * ONE, 10**6), 10_000, TENTH_OF_A_PERCENT, x_to_y=True) == (10_000, 10, 19_980)


def test_a_bin_pays_less_for_the_other_token():
    """At price 2, Y in: fee = ceil(9,995 * 0.001) = 10, net = 9,985, out = floor(9,985 / 2) = 4,992."""
    assert swap_in_bin(Bin(0, 2 * ONE, 10**6), 9_995, TENTH_OF_A_PERCENT, x_to_y=False) == (9_995, 10, 4_992)


def test_a_full_bin_takes_its_fee_on_top():
    """At price 2 with 1,000 Y: net = 500, fee = ceil(500 * 1e6 / (1e9 - 1e6)) = ceil(0.5005) = 1; 501 buy it all."""
    full = Bin(0, 2 * ONE, 1_000)
    assert swap_in_bin(full, 10_000, TENTH_OF_A_PERCENT, x_to_y=True) == (501, 1, 1_000)
    assert swap_in_bin(full, 501, TENTH_OF_A_PERCENT, x_to_y=True) == (501, 1, 1_000)


def test_a_full_bins_net_is_rounded_up():
    """Y in at price 1/2 with 333 X: net = ceil(166.5) = 167, fee = ceil(167 / 999) = 1, pays all 333."""
    assert swap_in_bin(Bin(0, HALF, 333), 10_000, TENTH_OF_A_PERCENT, x_to_y=False) == (168, 1, 333)


def test_a_swap_over_three_bins_worked_out_by_hand():
    """10,000 X into bins at 2, 1.5 and 1.

    at 2:   1,000 Y: net = 500, fee = ceil(500 / 999) = 1, takes 501; 9,499 left
    at 1.5: 3,000 Y: net = 2,000, fee = ceil(2,000 / 999) = ceil(2.002) = 3, takes 2,003; 7,496 left
    at 1:   fee = ceil(7.496) = 8, net = 7,488, pays 7,488
    fee = 1 + 3 + 8 = 12, out = 1,000 + 3,000 + 7,488 = 11,488
    """
    ladder = [Bin(7, 2 * ONE, 1_000), Bin(6, ONE + HALF, 3_000), Bin(5, ONE, 10**6)]
    crossing = swap_across(ladder, 10_000, TENTH_OF_A_PERCENT, x_to_y=True)
    assert (crossing.fee, crossing.amount_out) == (12, 11_488)
    assert (crossing.first.bin_id, crossing.last.bin_id, crossing.net_in_last) == (7, 5, 7_488)


def test_a_swap_over_two_bins_the_other_way_worked_out_by_hand():
    """10,000 Y into bins of X at 1 and 2.

    at 1: 4,000 X: net = 4,000, fee = ceil(4,000 / 999) = ceil(4.004) = 5, takes 4,005; 5,995 left
    at 2: fee = ceil(5.995) = 6, net = 5,989, pays floor(2,994.5) = 2,994
    """
    crossing = swap_across([Bin(1, ONE, 4_000), Bin(2, 2 * ONE, 10**6)], 10_000, TENTH_OF_A_PERCENT, x_to_y=False)
    assert (crossing.fee, crossing.amount_out) == (11, 6_994)


def test_what_the_bins_cannot_pay_for_is_refused():
    with pytest.raises(InsufficientLiquidity):
        swap_across([Bin(0, ONE, 100)], 102, TENTH_OF_A_PERCENT, x_to_y=True)


def test_a_bin_of_a_pool_holds_its_worth_in_one_token_the_other_or_both():
    """Capacity = 2,000,000 USDC * 10 / 20,000 = 1,000 USDC a bin; below the active bin it is all Y, above all X."""
    book = pool().book(15 * ONE // 100, ())
    active = book.describe()["activeId"]
    for row in book.describe()["bins"]:
        worth = int(row["reserveY"]) + (int(row["reserveX"]) * int(row["priceQ64"]) >> 64)
        assert 0 <= 1_000_000_000 - worth <= 1
        assert (row["id"] <= active) or row["reserveY"] == "0"
        assert (row["id"] >= active) or row["reserveX"] == "0"


@given(bins, amounts, st.booleans())
def test_bins_never_pay_more_than_they_hold(ladder, amount, x_to_y):
    try:
        crossing = swap_across(ladder, amount, TENTH_OF_A_PERCENT, x_to_y=x_to_y)
    except InsufficientLiquidity:
        return
    assert 0 <= crossing.amount_out <= sum(each.reserve for each in ladder)
    assert 0 <= crossing.fee <= amount


@given(bins, amounts, amounts, st.booleans())
def test_more_in_never_gives_less_out(ladder, one, other, x_to_y):
    less, more = sorted((one, other))
    try:
        most = swap_across(ladder, more, TENTH_OF_A_PERCENT, x_to_y=x_to_y)
    except InsufficientLiquidity:
        return
    assert swap_across(ladder, less, TENTH_OF_A_PERCENT, x_to_y=x_to_y).amount_out <= most.amount_out


@given(st.integers(1, 60_000 * 10**6), st.booleans())
def test_a_trade_moves_the_pool_by_what_it_takes_and_pays(worth, x_to_y):
    """What a pool holds after a trade is what it held, plus the net input, less the output, but for rounding."""
    curve = pool()
    price = 15 * ONE // 100
    amount = worth if not x_to_y else worth * 100 // 15
    before = curve.book(price, ())
    try:
        fill = before.fill(amount, x_to_y=x_to_y)
    except InsufficientLiquidity:
        return
    after = curve.book(price, fill.shift)
    held_before, held_after = holdings(before), holdings(after)
    net = fill.amount_in - fill.fee
    brought, taken = (0, 1) if x_to_y else (1, 0)
    crumbs = 2 * BINS_A_SIDE + 8
    assert abs(held_after[taken] - held_before[taken] + fill.amount_out) <= crumbs
    assert abs(held_after[brought] - held_before[brought] - net) <= crumbs * 8


def holdings(book):
    """Add up what all bins of a pool hold, as (X, Y)."""
    in_y = sum(each.reserve for each in book.bins(x_to_y=True))
    in_x = sum(each.reserve for each in book.bins(x_to_y=False))
    return in_x, in_y


@given(st.integers(1_000, 5 * 10**12))
def test_there_and_back_never_pays(amount):
    curve = pool()
    price = 15 * ONE // 100
    try:
        there = curve.book(price, ()).fill(amount, x_to_y=True)
        back = curve.book(price, there.shift).fill(there.amount_out, x_to_y=False)
    except InsufficientLiquidity:
        return
    assert back.amount_out < amount
