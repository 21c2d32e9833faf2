"""Amounts are exact integers of base units, or refused with a reason."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_common.tokens import MAX_BASE_UNITS, TOKENS, Token, execution_price, find, to_base_units, to_display

SOL, USDC, BONK = TOKENS["SOL"], TOKENS["USDC"], TOKENS["BONK"]
tokens = st.sampled_from(list(TOKENS.values()))
amounts = st.integers(1, MAX_BASE_UNITS)


@given(token=tokens, base_units=amounts)
def test_every_amount_survives_the_way_out_and_back(token: Token, base_units: int) -> None:
    """Displayed and read again, not one base unit is gained or lost."""
    assert to_base_units(Decimal(to_display(base_units, token)), token) == base_units


@given(token=tokens, base_units=amounts, zeros=st.integers(1, 40))
def test_trailing_zeros_mean_nothing(token: Token, base_units: int, zeros: int) -> None:
    """`1`, `1.0` and `1.000` are the same amount."""
    text = to_display(base_units, token)
    text += ("" if "." in text else ".") + "0" * zeros
    assert to_base_units(Decimal(text), token) == base_units


@given(token=tokens, base_units=amounts)
def test_a_displayed_amount_is_plain_and_short(token: Token, base_units: int) -> None:
    """No exponent, no trailing zero, no bare point."""
    text = to_display(base_units, token)
    assert set(text) <= set("0123456789.")
    assert "." not in text or text[-1] not in "0."
    assert Decimal(text) == Decimal(base_units).scaleb(-token.decimals)


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("-Infinity", "finite"),
        ("0", "greater than 0"),
        ("-0", "greater than 0"),
        ("0E-400", "greater than 0"),
        ("-1", "greater than 0"),
        ("-1e400", "greater than 0"),
        ("1e400", "at most 18446744073.709551615"),
        ("1e999999999", "at most 18446744073.709551615"),
        ("18446744073.709551616", "at most 18446744073.709551615"),
        ("9" * 120, "at most 18446744073.709551615"),
        ("0." + "1" * 40, "at most 9 decimals, as SOL has"),
        ("1." + "0" * 39 + "1", "at most 9 decimals, as SOL has"),
        ("1." + "0" * 120 + "1", "at most 9 decimals, as SOL has"),
        ("0.0000000001", "at most 9 decimals, as SOL has"),
        ("1e-400", "at most 9 decimals, as SOL has"),
        ("1e-999999999", "at most 9 decimals, as SOL has"),
    ],
)
def test_an_amount_that_cannot_be_kept_exactly_is_refused_with_its_reason(amount: str, reason: str) -> None:
    """Nothing is rounded, and nothing as large as 1e999999999 is ever written out."""
    with pytest.raises(ValueError, match=reason):
        to_base_units(Decimal(amount), SOL)


@given(token=tokens, amount=st.decimals(allow_nan=True, allow_infinity=True))
def test_any_number_is_either_exact_or_refused(token: Token, amount: Decimal) -> None:
    """There is no third outcome, whatever a client sends."""
    try:
        base_units = to_base_units(amount, token)
    except ValueError:
        return
    assert 0 < base_units <= MAX_BASE_UNITS
    assert Decimal(to_display(base_units, token)) == amount


def test_the_largest_amount_fits_the_column() -> None:
    """One base unit more is refused above."""
    assert to_base_units(Decimal("18446744073.709551615"), SOL) == MAX_BASE_UNITS


@pytest.mark.parametrize("name", ["SOL", "sol", "Sol", "So11111111111111111111111111111111111111112"])
def test_a_token_is_found_by_ticker_in_any_case_or_by_mint(name: str) -> None:
    """The mint is base58 and keeps its case."""
    assert find(name) is SOL


@pytest.mark.parametrize("name", ["", "DOGE", "so11111111111111111111111111111111111111112", " SOL", "SOL\0"])
def test_what_names_no_token_is_found_to_be_none(name: str) -> None:
    """No guessing, no trimming."""
    assert find(name) is None


def test_msol_keeps_the_case_of_its_ticker() -> None:
    """The ticker is shown as written and found however it is typed."""
    assert find("msol") is find("MSOL") is find("mSOL") is TOKENS["mSOL"]
    assert TOKENS["mSOL"].symbol == "mSOL"


@pytest.mark.parametrize(
    ("amount_in", "amount_out", "price"),
    [
        (1_500_000_000, 222_913_001, "148.608667333"),  # 222.913001 USDC for 1.5 SOL, rounded at the 12th digit
        (1_000_000_000, 150_000_000, "150"),
        (3_000_000_000, 1_000_000, "0.333333333333"),
        (3_000_000_000, 2_000_000, "0.666666666667"),
        (MAX_BASE_UNITS, 1, "0.0000000000000000542101086243"),
    ],
)
def test_the_execution_price_has_twelve_significant_digits_in_plain_notation(
    amount_in: int, amount_out: int, price: str
) -> None:
    """TokenOut per tokenIn, in display units."""
    assert execution_price(amount_in, SOL, amount_out, USDC) == price


@given(token_in=tokens, token_out=tokens, amount_in=amounts, amount_out=amounts)
def test_an_execution_price_is_right_to_its_last_digit(
    token_in: Token, token_out: Token, amount_in: int, amount_out: int
) -> None:
    """Whatever the two tokens' decimals are."""
    price = Decimal(execution_price(amount_in, token_in, amount_out, token_out))
    exact = Decimal(to_display(amount_out, token_out)) / Decimal(to_display(amount_in, token_in))
    assert abs(price - exact) <= exact * Decimal("0.5e-11")
    assert len(price.normalize().as_tuple().digits) <= 12


def test_every_mint_and_ticker_is_named_once() -> None:
    """A name leads to one token only."""
    mints, tickers = {token.mint for token in TOKENS.values()}, {name.upper() for name in TOKENS}
    assert len(mints) == len(tickers) == len(TOKENS)
    assert all(name == token.symbol for name, token in TOKENS.items())
