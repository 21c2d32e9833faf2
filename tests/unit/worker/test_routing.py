"""The choice of a venue: the better output after fees, and the account of it that clients read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_common.errors import AmountTooSmall, NoLiquidity, SlippageExceeded, UnknownPair, Unreachable
from engine_worker.ports import Quote
from engine_worker.routing import Answer, choose
from support.orders import stored_order
from support.simulation import quote

DRY = NoLiquidity("the pool is too small")
UNKNOWN = UnknownPair("there is no pool for this pair")
DUST = AmountTooSmall("the amount is too small to be paid for")
SILENT = Unreachable("no answer (TimeoutError)")
BUG = RuntimeError("raydium refused the quote request")


def answer(venue: str, given: Quote | Exception) -> Answer:
    failed = isinstance(given, Exception)
    return Answer(venue, 12, None if failed else given, given if failed else None)


def answers(raydium: Quote | Exception, meteora: Quote | Exception) -> list[Answer]:
    return [answer("raydium", raydium), answer("meteora", meteora)]


@pytest.mark.parametrize(
    ("raydium", "meteora", "chosen", "reason"),
    [
        (quote("raydium", 1_001), quote("meteora", 1_000), "raydium", "best output after fees"),
        (quote("raydium", 1_000), quote("meteora", 1_001), "meteora", "best output after fees"),
        (quote("raydium", 1_000), quote("meteora", 1_000), "raydium", "equal output after fees, first by precedence"),
        (SILENT, quote("meteora", 1), "meteora", "only venue that quoted"),
        (quote("raydium", 1), DRY, "raydium", "only venue that quoted"),
        (quote("raydium", 1), BUG, "raydium", "only venue that quoted"),
    ],
)
def test_the_better_output_wins_and_a_failed_venue_takes_no_part(
    raydium: Quote | Exception, meteora: Quote | Exception, chosen: str, reason: str
) -> None:
    """Ties go to the venue named first; what is left decides when one fails."""
    route = choose(stored_order(min_amount_out=1), answers(raydium, meteora))
    assert (route.quote.venue, route.document["chosen"], route.document["reason"]) == (chosen, chosen, reason)


@given(outputs=st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=5))
def test_no_venue_offers_more_than_the_chosen_one(outputs: list[int]) -> None:
    """With any number of venues."""
    given_answers = [answer(f"venue {i}", quote(f"venue {i}", output)) for i, output in enumerate(outputs)]
    route = choose(stored_order(), given_answers)
    assert route.quote.amount_out == max(outputs)
    assert route.quote.venue == f"venue {outputs.index(max(outputs))}"


@pytest.mark.parametrize(
    ("raydium", "meteora", "error"),
    [
        (DRY, DRY, NoLiquidity),
        (SILENT, SILENT, Unreachable),
        (SILENT, DRY, Unreachable),
        (DRY, SILENT, Unreachable),
        (BUG, SILENT, Unreachable),
        (BUG, DRY, RuntimeError),
        (SILENT, UNKNOWN, Unreachable),
    ],
)
def test_without_any_quote_what_may_yet_answer_is_waited_for(
    raydium: Exception, meteora: Exception, error: type[Exception]
) -> None:
    """An order is only without liquidity when every venue said so; silence is undecided."""
    with pytest.raises(error) as raised:
        choose(stored_order(), answers(raydium, meteora))
    assert error is not Unreachable or all(venue in str(raised.value) for venue in ("raydium", "meteora"))


@pytest.mark.parametrize(
    ("raydium", "meteora", "code", "text"),
    [
        (UNKNOWN, UNKNOWN, "unknown_pair", "no venue has a pool for SOL and USDC: choose another pair"),
        (DUST, DUST, "amount_too_small", "no venue pays any USDC for 1.5 SOL: sell a larger amount"),
        (DUST, UNKNOWN, "amount_too_small", "no venue pays any USDC for 1.5 SOL: sell a larger amount"),
        (DRY, DRY, "no_liquidity", "no venue has enough USDC to pay for 1.5 SOL: sell a smaller amount"),
        (UNKNOWN, DRY, "no_liquidity", "no venue has enough USDC to pay for 1.5 SOL: sell a smaller amount"),
        (DUST, DRY, "no_liquidity", "no venue has enough USDC to pay for 1.5 SOL: sell a smaller amount"),
    ],
)
def test_an_order_that_no_venue_can_fill_says_why_and_what_to_change(
    raydium: Exception, meteora: Exception, code: str, text: str
) -> None:
    """Three different reasons, each final: asking again would only be answered the same."""
    with pytest.raises(NoLiquidity) as raised:
        choose(stored_order(), answers(raydium, meteora))
    assert (raised.value.code, raised.value.reason, raised.value.retryable) == (code, text, False)


@pytest.mark.parametrize(
    ("slippage_bps", "minimum", "effective"),
    [
        (50, None, 99_500),
        (None, None, 99_500),
        (0, None, 100_000),
        (10_000, None, 1),
        (None, 1, 1),
        (None, 99_999, 99_999),
        (50, 1, 99_500),
        (50, 99_499, 99_500),
        (50, 99_501, 99_501),
        (10_000, 7, 7),
        (1, None, 99_990),
    ],
)
def test_the_engine_computes_the_minimum_output_and_the_stricter_limit_holds(
    slippage_bps: int | None, minimum: int | None, effective: int
) -> None:
    """Of the user's minimum and the slippage; with neither 50 bps, and never nothing, whatever is allowed."""
    order = stored_order(slippage_bps=slippage_bps, min_amount_out=minimum)
    route = choose(order, answers(quote("raydium", 100_000), DRY))
    assert route.effective_min_amount_out == effective


@given(output=st.integers(1, 2**64 - 1), slippage_bps=st.integers(0, 10_000))
def test_the_slippage_limit_is_rounded_in_the_users_favour(output: int, slippage_bps: int) -> None:
    """ceil(out * (10000 - bps) / 10000), in whole numbers, for every amount that the chain knows."""
    order = stored_order(slippage_bps=slippage_bps)
    minimum = choose(order, answers(quote("raydium", output), DRY)).effective_min_amount_out
    assert minimum * 10_000 >= output * (10_000 - slippage_bps)
    assert (minimum - 1) * 10_000 < output * (10_000 - slippage_bps) or minimum == 1


def test_the_first_routes_minimum_output_holds_for_every_later_one() -> None:
    """A better market does not raise it, and a worse one does not lower it."""
    order = stored_order(effective_min_amount_out=995)
    for output in (995, 1_000, 5_000):
        assert choose(order, answers(quote("raydium", output), DRY)).effective_min_amount_out == 995
    with pytest.raises(SlippageExceeded):
        choose(order, answers(quote("raydium", 994), DRY))


def test_a_best_quote_below_the_minimum_output_is_slippage() -> None:
    """In display units, for people: which venue, how much, and the minimum."""
    order = stored_order(min_amount_out=1_001)
    below = r"0\.001 USDC at raydium, is below the order's minimum output of 0\.001001"
    with pytest.raises(SlippageExceeded, match=below):
        choose(order, answers(quote("raydium", 1_000), quote("meteora", 999)))


def test_the_document_names_every_venue_with_its_quote_or_its_error() -> None:
    """Amounts are display units of their tokens: output in the bought one, the fee in the sold one."""
    route = choose(stored_order(), answers(quote("raydium", 222_913_001), DRY))
    assert route.document["quotes"] == [
        {
            "venue": "raydium",
            "amountOut": "222.913001",
            "feeAmount": "0.000000025",
            "priceImpactPct": "0.01",
            "latencyMs": 12,
            "error": None,
        },
        {
            "venue": "meteora",
            "amountOut": None,
            "feeAmount": None,
            "priceImpactPct": None,
            "latencyMs": 12,
            "error": "the pool is too small",
        },
    ]
