"""Which venue an order goes to: the better output after fees, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine_common.errors import AmountTooSmall, NoLiquidity, SlippageExceeded, UnknownPair, Unreachable, one_line
from engine_common.orders import Order
from engine_common.tokens import to_display
from engine_worker.ports import Quote

DEFAULT_SLIPPAGE_BPS = 50
_WHOLE_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A venue's quote, or the error it gave instead, and how long that took."""

    venue: str
    latency_ms: int
    quote: Quote | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Route:
    """The chosen quote, the minimum output in force from now on (base units), and the public account of the choice."""

    quote: Quote
    effective_min_amount_out: int
    document: Mapping[str, Any]


def choose(order: Order, answers: Sequence[Answer]) -> Route:
    """Return the route with the most output; of equal ones, that of the venue named first.

    A venue that failed takes no part. Raises SlippageExceeded when the best is below the order's minimum output. When
    no venue quoted, raises Unreachable if one of them may yet, an unexpected error if there was one, and otherwise
    NoLiquidity, UnknownPair or AmountTooSmall.
    """
    quotes = [answer.quote for answer in answers if answer.quote is not None]
    if not quotes:
        raise _why_not(order, answers)
    best = max(quotes, key=lambda quote: quote.amount_out)
    minimum = effective_min_amount_out(order, best)
    if best.amount_out < minimum:
        token = order.output_token
        raise SlippageExceeded(
            f"the best quote, {to_display(best.amount_out, token)} {token.symbol} at {best.venue}, "
            f"is below the order's minimum output of {to_display(minimum, token)}"
        )
    return Route(best, minimum, _document(order, answers, best, _reason(quotes, answers, best)))


def effective_min_amount_out(order: Order, best: Quote) -> int:
    """Return the minimum output in force, in base units: that of the order's first route, if it has had one.

    It is the stricter of the user's own minimum and ceil(amountOut * (10000 - slippageBps) / 10000); without a minimum
    the slippage is 50 bps unless given. What a venue calls its threshold takes no part in it.
    """
    if order.effective_min_amount_out is not None:
        return order.effective_min_amount_out
    slippage_bps = order.slippage_bps
    if slippage_bps is None and order.min_amount_out is None:
        slippage_bps = DEFAULT_SLIPPAGE_BPS
    by_slippage = 0 if slippage_bps is None else -(-best.amount_out * (_WHOLE_BPS - slippage_bps) // _WHOLE_BPS)
    # A slippage of 100 % allows anything but nothing: a swap that pays nothing is never what was asked for.
    return max(1, by_slippage, order.min_amount_out or 0)


def _why_not(order: Order, answers: Sequence[Answer]) -> Exception:
    errors = [answer.error for answer in answers if answer.error is not None]
    said = "; ".join(f"{answer.venue}: {answer.error}" for answer in answers)
    if any(isinstance(error, Unreachable) for error in errors):
        return Unreachable(said)
    unexpected = next((error for error in errors if not isinstance(error, NoLiquidity)), None)
    return unexpected or _no_liquidity(order, errors)


def _no_liquidity(order: Order, errors: Sequence[Exception]) -> NoLiquidity:
    """Return what keeps the order from being filled anywhere; a venue without the pair says nothing of the amount."""
    amount, sold, bought = to_display(order.amount_in, order.input_token), order.token_in, order.token_out
    telling = [error for error in errors if not isinstance(error, UnknownPair)]
    if not telling:
        return UnknownPair(f"no venue has a pool for {sold} and {bought}: choose another pair")
    if all(isinstance(error, AmountTooSmall) for error in telling):
        return AmountTooSmall(f"no venue pays any {bought} for {amount} {sold}: sell a larger amount")
    return NoLiquidity(f"no venue has enough {bought} to pay for {amount} {sold}: sell a smaller amount")


def _reason(quotes: Sequence[Quote], answers: Sequence[Answer], best: Quote) -> str:
    if len(quotes) < len(answers):
        return "only venue that quoted" if len(quotes) == 1 else "best output after fees of the venues that quoted"
    if sum(quote.amount_out == best.amount_out for quote in quotes) > 1:
        return "equal output after fees, first by precedence"
    return "best output after fees"


def _document(order: Order, answers: Sequence[Answer], best: Quote, reason: str) -> dict[str, Any]:
    return {"chosen": best.venue, "reason": reason, "quotes": [_quote_document(order, answer) for answer in answers]}


def _quote_document(order: Order, answer: Answer) -> dict[str, Any]:
    quote = answer.quote
    return {
        "venue": answer.venue,
        "amountOut": None if quote is None else to_display(quote.amount_out, order.output_token),
        "feeAmount": None if quote is None else to_display(quote.fee_amount, order.input_token),
        "priceImpactPct": None if quote is None else quote.price_impact_pct,
        "latencyMs": answer.latency_ms,
        "error": None if answer.error is None else one_line(str(answer.error)),
    }
