"""The choice of a venue: the better output after fees, and the account of it that clients read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_common.errors import NoLiquidity, SlippageExceeded, Unreachable
from engine_worker.ports import Quote
from engine_worker.routing import Answer, choose
from support.orders import stored_order
from support.simulation import quote

DRY = NoLiquidity("the pool is too small")
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


@given(outputs=st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=5))
def test_no_venue_offers_more_than_the_chosen_one(outputs: list[int]) -> None:
    """With any number of venues."""
    given_answers = [answer(f"venue {i}", quote(f"venue {i}", output, 1)) for i, output in enumerate(outputs)]
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
    ],
)
def test_without_any_quote_what_may_yet_answer_is_waited_for(
    raydium: Exception, meteora: Exception, error: type[Exception]
) -> None:
    """An order is only without liquidity when every venue said so; silence is undecided."""
    with pytest.raises(error) as raised:
        choose(stored_order(), answers(raydium, meteora))
    assert error is RuntimeError or all(venue in str(raised.value) for venue in ("raydium", "meteora"))


def test_the_first_routes_minimum_is_the_floor_where_the_user_gave_none() -> None:
    """It is kept on the order and holds for every attempt."""
    assert choose(stored_order(), answers(quote("raydium", 1_000, 995), DRY)).floor == 995


def test_a_floor_is_never_nothing() -> None:
    """With 100 % of slippage a venue's minimum is 0; a swap that pays nothing must fail on the chain all the same."""
    assert choose(stored_order(slippage_bps=10_000), answers(quote("raydium", 1_000, 0), DRY)).floor == 1


def test_the_users_floor_holds_instead_of_the_routes() -> None:
    """Higher or lower than the venue's own minimum."""
    for floor in (1, 999, 1_000):
        assert choose(stored_order(min_amount_out=floor), answers(quote("raydium", 1_000, 995), DRY)).floor == floor


def test_a_best_quote_below_the_floor_is_slippage() -> None:
    """In display units, for people: which venue, how much, and the floor."""
    order = stored_order(min_amount_out=1_001)
    with pytest.raises(SlippageExceeded, match=r"0\.001 USDC at raydium, is below the order's floor of 0\.001001"):
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
