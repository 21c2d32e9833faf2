"""Which venue an order goes to: the better output after fees, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine_common.errors import NoLiquidity, SlippageExceeded, Unreachable, one_line
from engine_common.orders import Order
from engine_common.tokens import to_display
from engine_worker.ports import Quote


@dataclass(frozen=True, slots=True)
class Answer:
    """A venue's quote, or the error it gave instead, and how long that took."""

    venue: str
    latency_ms: int
    quote: Quote | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Route:
    """The chosen quote, the floor that holds from now on, and the public account of the choice."""

    quote: Quote
    floor: int
    document: Mapping[str, Any]


def choose(order: Order, answers: Sequence[Answer]) -> Route:
    """Return the route with the most output; of equal ones, that of the venue named first.

    A venue that failed takes no part. Raises SlippageExceeded when the best is below the order's floor; when no venue
    quoted, Unreachable if one of them may yet, an unexpected error if there was one, and NoLiquidity otherwise.
    """
    quotes = [answer.quote for answer in answers if answer.quote is not None]
    if not quotes:
        raise _why_not(answers)
    best = max(quotes, key=lambda quote: quote.amount_out)
    # A slippage of 100 % allows anything but nothing: a swap that pays nothing is never what was asked for.
    floor = max(1, best.minimum_out) if order.min_amount_out is None else order.min_amount_out
    if best.amount_out < floor:
        token = order.output_token
        raise SlippageExceeded(
            f"the best quote, {to_display(best.amount_out, token)} {token.symbol} at {best.venue}, "
            f"is below the order's floor of {to_display(floor, token)}"
        )
    return Route(best, floor, _document(order, answers, best, _reason(quotes, answers, best)))


def _why_not(answers: Sequence[Answer]) -> Exception:
    said = "; ".join(f"{answer.venue}: {answer.error}" for answer in answers)
    errors = [answer.error for answer in answers if answer.error is not None]
    if any(isinstance(error, Unreachable) for error in errors):
        return Unreachable(said)
    return next((error for error in errors if not isinstance(error, NoLiquidity)), NoLiquidity(said))


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
