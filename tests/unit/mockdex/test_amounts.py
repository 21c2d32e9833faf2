import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockdex.balances import in_units
from mockdex.quotes import minimum_out, percent


@pytest.mark.parametrize(
    ("amount", "decimals", "written"),
    [
        (0, 9, "0"),
        (1, 9, "0.000000001"),
        (10**9, 9, "1"),
        (1_500_000, 6, "1.5"),
        (123, 0, "123"),
        (10**18, 5, "1" + "0" * 13),
    ],
)
def test_base_units_are_written_as_whole_tokens(amount, decimals, written):
    assert in_units(amount, decimals) == written


def test_the_minimum_out_is_rounded_up():
    """1,001 * 9,950 / 10,000 = 995.995, so at least 996 must be paid."""
    assert minimum_out(1_001, 50) == 996
    assert minimum_out(1_000, 50) == 995


@given(st.integers(0, 2**64), st.integers(0, 10_000))
def test_the_minimum_out_never_under_protects(amount, slippage_bps):
    least = minimum_out(amount, slippage_bps)
    assert least * 10_000 >= amount * (10_000 - slippage_bps)
    assert (least - 1) * 10_000 < amount * (10_000 - slippage_bps) or least == 0


@pytest.mark.parametrize(
    ("share_e8", "written"),
    [(0, "0"), (1, "0.000001"), (4_000, "0.004"), (10**6, "1"), (10**8, "100"), (12_340_000, "12.34")],
)
def test_shares_are_written_as_percent(share_e8, written):
    assert percent(share_e8) == written
