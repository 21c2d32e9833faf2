import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockdex.curves import Depth, InsufficientLiquidity
from mockdex.curves.raydium import RaydiumBook, RaydiumCurve, swap

reserves = st.integers(1_000, 10**19)
amounts = st.integers(1, 10**19)


def test_a_swap_worked_out_by_hand():
    """R_in = 1,000,000, R_out = 2,000,000, in = 10,000.

    fee = ceil(10,000 * 25 / 10,000) = 25, net = 9,975
    out = floor(2,000,000 * 9,975 / 1,009,975) = floor(19,752.96...) = 19,752
    """
    assert swap(1_000_000, 2_000_000, 10_000) == (25, 19_752)


def test_the_fee_is_rounded_up():
    """401 * 25 / 10,000 = 1.0025, so the fee is 2; net = 399; out = floor(2,000,000 * 399 / 1,000,399) = 797."""
    assert swap(1_000_000, 2_000_000, 401) == (2, 797)


def test_price_impact_leaves_the_fee_out():
    """Spot = 2, exec = 19,752 / 9,975 = 1.98015..., so (2 - 1.98015...) / 2 = 0.0099248..., fee excluded."""
    fill = RaydiumBook(1_000_000, 2_000_000).fill(10_000, x_to_y=True)
    assert fill.price_impact_e8 == 992_481


def test_both_directions_use_the_reserves_the_right_way_round():
    book = RaydiumBook(1_000_000, 2_000_000)
    assert book.fill(10_000, x_to_y=True).shift == (10_000, -19_752)
    # out = floor(1,000,000 * 9,975 / 2,009,975) = floor(4,962.74...) = 4,962
    assert book.fill(10_000, x_to_y=False).shift == (-4_962, 10_000)


@pytest.mark.parametrize("amount", [1, 1_000_001, 10**19])
def test_dust_and_what_is_beyond_the_depth_are_refused(amount):
    """1 is all fee; more than the reserve is beyond the pool's depth."""
    with pytest.raises(InsufficientLiquidity):
        RaydiumBook(1_000_000, 2_000_000).fill(amount, x_to_y=True)


def test_at_rest_the_reserves_are_at_the_price():
    """X = 8,000 and Y = 2,000 at 1/4: k = 16,000,000; at price 1 both are 4,000; at price 4 it is 2,000 and 8,000."""
    curve = RaydiumCurve(Depth(8_000, 2_000, 2**62))
    assert curve.book(2**62, ()) == RaydiumBook(8_000, 2_000)
    assert curve.book(2**64, ()) == RaydiumBook(4_000, 4_000)
    assert curve.book(2**66, (5, -3)) == RaydiumBook(2_005, 7_997)


@given(reserves, reserves, amounts)
def test_a_swap_never_empties_the_pool_and_its_fee_is_never_negative(reserve_in, reserve_out, amount):
    fee, out = swap(reserve_in, reserve_out, amount)
    assert 0 < fee <= amount
    assert 0 <= out < reserve_out
    # The product of the reserves never shrinks: nobody takes more than they bring.
    assert (reserve_in + amount) * (reserve_out - out) >= reserve_in * reserve_out


@given(reserves, reserves, amounts, amounts)
def test_more_in_never_gives_less_out(reserve_in, reserve_out, one, other):
    less, more = sorted((one, other))
    assert swap(reserve_in, reserve_out, less)[1] <= swap(reserve_in, reserve_out, more)[1]


@given(reserves, reserves, amounts, st.booleans())
def test_a_fill_accounts_for_every_unit(reserve_x, reserve_y, amount, x_to_y):
    try:
        fill = RaydiumBook(reserve_x, reserve_y).fill(amount, x_to_y=x_to_y)
    except InsufficientLiquidity:
        return
    moved_in, moved_out = fill.shift if x_to_y else fill.shift[::-1]
    assert (moved_in, moved_out) == (amount, -fill.amount_out) == (fill.amount_in, -fill.amount_out)
    assert 0 <= fill.price_impact_e8 <= 10**8
