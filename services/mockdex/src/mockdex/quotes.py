"""The venues' side: quotes and pools."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

import orjson
from starlette.responses import Response

from mockdex.answers import Answer, refusal, send_answer
from mockdex.curves import AmountTooSmall, InsufficientLiquidity

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from mockdex.chain import Chain
    from mockdex.curves import Fill, Venue
    from mockdex.faults import Faults
    from mockdex.markets import Market, Markets

_LARGEST_AMOUNT = 2**64 - 1
_WHOLE_BPS = 10_000
_DEFAULT_SLIPPAGE_BPS = "50"
_PERCENT_DECIMALS = 6

_WRONG_METHOD = refusal(405, "method_not_allowed", "quotes are asked for by GET", (b"allow", b"GET"))
_LIMITED = refusal(429, "rate_limited", "too many requests", (b"retry-after", b"1"))
_BROKEN = refusal(500, "internal_error", "the venue has failed")
_SILENT = refusal(504, "timeout", "the venue did not answer in time")
_DRY = refusal(422, "insufficient_liquidity", "the pool is dry")
_UNKNOWN_PAIR = refusal(404, "unknown_pair", "there is no pool for this pair")
_HELD_BACK_MS = 10_000


class InvalidRequest(Exception):
    """The parameters of a quote are not what they must be."""


class Asked(NamedTuple):
    """What is asked for, in base units."""

    input_mint: str
    output_mint: str
    amount: int
    slippage_bps: int


class Asking(NamedTuple):
    """A request whose latency and fault are drawn."""

    delay_ms: int
    outcome: Answer | Asked


class QuoteDesk:
    """Quotes of a venue, however they are asked for: first latency and fault, then the quote of that moment."""

    def __init__(self, venue: Venue, markets: Markets, chain: Chain, faults: Faults) -> None:
        self._venue = venue.name
        self._markets = markets
        self._chain = chain
        self._faults = faults

    def ask(self, query: bytes) -> Asking:
        """Take a request by its query string."""
        try:
            asked = _parameters(query)
        except InvalidRequest as error:
            return Asking(0, refusal(400, "invalid_request", str(error)))
        faults, venue = self._faults, self._venue
        # All decisions at once: their numbers must not hang on how latencies overlap.
        limited = faults.strikes("rate_limit_rate", venue)
        broken = faults.strikes("quote_error_rate", venue)
        silent = faults.strikes("quote_timeout_rate", venue)
        dry = faults.strikes("no_liquidity_rate", venue)
        delay_ms = faults.delay_ms("quote_delay_ms", venue)
        if limited:
            return Asking(0, _LIMITED)
        if silent:
            return Asking(_HELD_BACK_MS, _SILENT)
        return Asking(delay_ms, _BROKEN if broken else _DRY if dry else asked)

    def answer(self, outcome: Answer | Asked) -> Answer:
        """Answer a request after its latency."""
        if isinstance(outcome, Answer):
            return outcome
        found = self._markets.find(self._venue, outcome.input_mint, outcome.output_mint)
        if found is None:
            return _UNKNOWN_PAIR
        market, x_to_y = found
        slot = self._chain.slot
        try:
            fill = market.book(slot).fill(outcome.amount, x_to_y=x_to_y)
        except AmountTooSmall as error:
            return refusal(422, "amount_too_small", str(error))
        except InsufficientLiquidity as error:
            return refusal(422, "insufficient_liquidity", str(error))
        return Answer(200, _quote(market, fill, outcome, slot))


class QuoteEndpoint:
    """`GET /venues/{venue}/quote` as an ASGI application."""

    def __init__(self, desk: QuoteDesk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        del receive  # a GET has no body
        if scope["method"] != "GET":
            await send_answer(send, _WRONG_METHOD)
            return
        asking = self._desk.ask(scope["query_string"])
        if asking.delay_ms:
            await asyncio.sleep(asking.delay_ms / 1000)
        await send_answer(send, self._desk.answer(asking.outcome))


class PoolsEndpoint:
    """`GET /venues/{venue}/pools`."""

    def __init__(self, markets: Markets, chain: Chain) -> None:
        self._markets = markets
        self._chain = chain

    def answer(self, venue: Venue) -> Response:
        """Describe a venue's pools as they are in the present slot."""
        slot = self._chain.slot
        pools = [
            {"pool": market.address, "mintX": market.x.mint, "mintY": market.y.mint, **market.book(slot).describe()}
            for market in self._markets.of(venue.name)
        ]
        body = {"venue": venue.name, "programId": venue.program, "contextSlot": slot, "pools": pools}
        return Response(orjson.dumps(body), media_type="application/json")


def _parameters(query: bytes) -> Asked:
    """Read the parameters; raise InvalidRequest."""
    given: dict[str, str] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        given[name] = unquote_plus(value) if "%" in value or "+" in value else value
    try:
        input_mint, output_mint, amount = given["inputMint"], given["outputMint"], given["amount"]
    except KeyError as missing:
        raise InvalidRequest(f"{missing.args[0]} is missing") from None
    slippage_bps = given.get("slippageBps", _DEFAULT_SLIPPAGE_BPS)
    return Asked(
        input_mint,
        output_mint,
        _number("amount", amount, 1, _LARGEST_AMOUNT),
        _number("slippageBps", slippage_bps, 0, _WHOLE_BPS),
    )


def _number(name: str, text: str, least: int, largest: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_AMOUNT)) and least <= int(text) <= largest:
        return int(text)
    raise InvalidRequest(f"{name} is a whole number from {least} to {largest}")


def _quote(market: Market, fill: Fill, asked: Asked, slot: int) -> bytes:
    return orjson.dumps(
        {
            "inputMint": asked.input_mint,
            "outputMint": asked.output_mint,
            "inAmount": str(fill.amount_in),
            "outAmount": str(fill.amount_out),
            "otherAmountThreshold": str(minimum_out(fill.amount_out, asked.slippage_bps)),
            "slippageBps": asked.slippage_bps,
            "priceImpactPct": percent(fill.price_impact_e8),
            "feeAmount": str(fill.fee),
            "pool": market.address,
            "contextSlot": slot,
        }
    )


def minimum_out(amount_out: int, slippage_bps: int) -> int:
    """Return ceil(out * (10000 - bps) / 10000): rounding up never under-protects."""
    return -(-amount_out * (_WHOLE_BPS - slippage_bps) // _WHOLE_BPS)


def percent(share_e8: int) -> str:
    """Write a share in 1e-8 as percent, without trailing zeros."""
    whole, part = divmod(share_e8, 10**_PERCENT_DECIMALS)
    return f"{whole}.{part:0{_PERCENT_DECIMALS}d}".rstrip("0") if part else str(whole)
