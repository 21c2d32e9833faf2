"""Reading an order from a parsed body."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_api.bodies import parse_json
from engine_api.intake.idempotency import fingerprint
from engine_api.intake.order_body import SPELLINGS, OrderTerms, read_terms
from engine_api.problems import Refusal

BODY: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": Decimal("1.5")}

# Anything that a parsed body can hold.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.text()
    | st.sampled_from(["SOL", "USDC", "MARKET", "1.5", "NaN", "1e400", "1e-999999", "0", "-0"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def attempt(read: Callable[[Any], Any], value: Any) -> Any:
    """Return what is read, or the refusal; any other exception is an error of ours."""
    try:
        return read(value)
    except Refusal as refusal:
        return refusal


@given(st.dictionaries(st.sampled_from(sorted(SPELLINGS)) | st.text(), VALUES) | VALUES)
def test_any_body_is_read_or_refused(body: Any) -> None:
    """Nothing that JSON can say is an error of ours."""
    outcome = attempt(read_terms, body)
    if isinstance(outcome, Refusal):
        assert outcome.kind.status == 422
        assert outcome.detail.encode()
        assert len(outcome.errors) <= 20
    else:
        assert isinstance(outcome, OrderTerms)


@given(VALUES, st.sampled_from(["amountIn", "slippageBps", "minAmountOut", "userWallet", "type", "tokenOut"]))
def test_any_value_of_a_field_is_read_or_named(value: Any, field: str) -> None:
    """The refusal names this field and no other."""
    outcome = attempt(read_terms, BODY | {field: value})
    if isinstance(outcome, Refusal):
        assert {error.field for error in outcome.errors} == {field}
    else:
        assert 0 < outcome.amount_in < 2**64
        assert outcome.slippage_bps is None or 0 <= outcome.slippage_bps <= 10_000
        assert outcome.min_amount_out is None or 0 < outcome.min_amount_out < 2**64


@pytest.mark.parametrize(
    ("given_terms", "slippage_bps", "minimum"),
    [
        ({}, 50, None),
        ({"slippageBps": None, "minAmountOut": None}, 50, None),
        ({"slippageBps": 0}, 0, None),
        ({"minAmountOut": "1"}, None, 1_000_000),
        ({"slippageBps": 70, "minAmountOut": "1"}, 70, 1_000_000),
    ],
)
def test_the_default_slippage_holds_only_where_the_user_limits_nothing(
    given_terms: dict[str, Any], slippage_bps: int | None, minimum: int | None
) -> None:
    """Who names a minimum output alone has not asked for 50 bps."""
    terms = read_terms(BODY | given_terms)
    assert (terms.slippage_bps, terms.min_amount_out) == (slippage_bps, minimum)


@given(st.integers(min_value=1, max_value=2**64 - 1))
def test_every_amount_of_the_chain_is_read_exactly(base_units: int) -> None:
    """As a number and as text, with nine decimals."""
    amount = Decimal(base_units).scaleb(-9)
    assert read_terms(BODY | {"amountIn": amount}).amount_in == base_units
    assert read_terms(BODY | {"amountIn": f"{amount:f}"}).amount_in == base_units
    assert read_terms(BODY | {"amountIn": f"{amount:E}"}).amount_in == base_units


@given(st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=2, max_size=2, unique=True))
def test_two_spellings_of_one_field_are_refused(names: list[str]) -> None:
    """Which one counts would be anybody's guess."""
    first, second = names
    if SPELLINGS[first] == SPELLINGS[second]:
        with pytest.raises(Refusal, match=f"{second} says the same as {first}"):
            read_terms(dict.fromkeys(names, "x"))


def test_the_fingerprint_follows_the_meaning_and_not_the_spelling() -> None:
    """`1`, `"1.0"` and `inputAmount` are the same order; another operation or wallet is another."""
    same = [
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": 1},
        {"inputToken": "sol", "outputToken": "usdc", "inputAmount": "1.0", "slippageBps": 50, "userId": "anonymous"},
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": Decimal("10e-1"), "type": "MARKET", "minAmountOut": None},
    ]
    (fingerprint_of_all,) = {fingerprint("execute", read_terms(body)) for body in same}
    terms = read_terms(same[0])
    others = [
        fingerprint("create", terms),
        fingerprint("execute", read_terms(same[0] | {"userWallet": "other"})),
        fingerprint("execute", read_terms(same[0] | {"minAmountOut": "1"})),
        fingerprint("execute", read_terms(same[0] | {"slippageBps": 51})),
        fingerprint("execute", read_terms(same[0] | {"userWallet": "50|None|anonymous"})),
    ]
    assert len({fingerprint_of_all, *others}) == 6


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_json_or_refused(text: str) -> None:
    """Whatever bytes a client sends."""
    outcome = attempt(parse_json, text)
    assert not isinstance(outcome, Refusal) or outcome.kind.status == 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1234567890123456789", Decimal("0.1234567890123456789")),
        ("1e400", Decimal("1e400")),
        ("9" * 5000, Decimal("9" * 5000)),
        ("-Infinity", Decimal("-Infinity")),
        ("1e9999999999999999999", Decimal("Infinity")),
        ("7", 7),
    ],
)
def test_numbers_are_read_exactly(text: str, value: Any) -> None:
    """Never through a float, and never refused for their length."""
    assert parse_json(text) == value
