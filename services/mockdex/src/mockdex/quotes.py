"""The venues' side: quotes and pools."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import orjson
from starlette.responses import Response

from mockdex.answers import answer, refuse
from mockdex.curves import InsufficientLiquidity

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from mockdex.chain import Chain
    from mockdex.curves import Fill, Venue
    from mockdex.faults import Faults
    from mockdex.markets import Market, Markets

_LARGEST_AMOUNT = 2**64 - 1
_WHOLE_BPS = 10_000
_DEFAULT_SLIPPAGE_BPS = "50"
_HELD_BACK_S = 10
_PERCENT_DECIMALS = 6


class InvalidRequest(Exception):
    """The parameters of a quote are not what they must be."""


class QuoteEndpoint:
    """`GET /venues/{venue}/quote` as an ASGI application."""

    def __init__(self, venue: Venue, markets: Markets, chain: Chain, faults: Faults) -> None:
        self._venue = venue.name
        self._markets = markets
        self._chain = chain
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: its latency first, then its fault, or else the quote of that moment."""
        if scope["method"] != "GET":
            await refuse(send, 405, "method_not_allowed", "quotes are asked for by GET", (b"allow", b"GET"))
            return
        try:
            input_mint, output_mint, amount, slippage_bps = _parameters(scope["query_string"])
        except InvalidRequest as error:
            await refuse(send, 400, "invalid_request", str(error))
            return
        if await self._faulty(receive, send):
            return
        found = self._markets.find(self._venue, input_mint, output_mint)
        if found is None:
            await refuse(send, 404, "unknown_pair", "there is no pool for this pair")
            return
        market, x_to_y = found
        slot = self._chain.slot
        try:
            fill = market.book(slot).fill(amount, x_to_y=x_to_y)
        except InsufficientLiquidity as error:
            await refuse(send, 422, "insufficient_liquidity", str(error))
            return
        await answer(send, 200, _quote(market, fill, x_to_y=x_to_y, slippage_bps=slippage_bps, slot=slot))

    async def _faulty(self, receive: Receive, send: Send) -> bool:
        """Wait for the quote's latency; tell whether a fault has answered in its place."""
        faults, venue = self._faults, self._venue
        # All decisions at once: their order must not hang on how latencies overlap.
        limited = faults.strikes("rate_limit_rate", venue)
        broken = faults.strikes("quote_error_rate", venue)
        silent = faults.strikes("quote_timeout_rate", venue)
        dry = faults.strikes("no_liquidity_rate", venue)
        delay_ms = faults.delay_ms("quote_delay_ms", venue)
        if limited:
            await refuse(send, 429, "rate_limited", "too many requests", (b"retry-after", b"1"))
            return True
        if silent:
            if not await _left(receive, _HELD_BACK_S):
                await refuse(send, 504, "timeout", "the venue did not answer in time")
            return True
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        if broken:
            await refuse(send, 500, "internal_error", "the venue has failed")
        elif dry:
            await refuse(send, 422, "insufficient_liquidity", "the pool is dry")
        return broken or dry


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


def _parameters(query: bytes) -> tuple[str, str, int, int]:
    """Return input mint, output mint, amount and slippage; raise InvalidRequest."""
    text = query.decode("latin-1")
    given: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        given[name] = unquote_plus(value)
    try:
        input_mint, output_mint, amount = given["inputMint"], given["outputMint"], given["amount"]
    except KeyError as missing:
        raise InvalidRequest(f"{missing.args[0]} is missing") from None
    slippage_bps = given.get("slippageBps", _DEFAULT_SLIPPAGE_BPS)
    return (
        input_mint,
        output_mint,
        _number("amount", amount, 1, _LARGEST_AMOUNT),
        _number("slippageBps", slippage_bps, 0, _WHOLE_BPS),
    )


def _number(name: str, text: str, least: int, largest: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_AMOUNT)) and least <= int(text) <= largest:
        return int(text)
    raise InvalidRequest(f"{name} is a whole number from {least} to {largest}")


def _quote(market: Market, fill: Fill, *, x_to_y: bool, slippage_bps: int, slot: int) -> bytes:
    source, target = (market.x, market.y) if x_to_y else (market.y, market.x)
    return orjson.dumps(
        {
            "inputMint": source.mint,
            "outputMint": target.mint,
            "inAmount": str(fill.amount_in),
            "outAmount": str(fill.amount_out),
            "otherAmountThreshold": str(minimum_out(fill.amount_out, slippage_bps)),
            "slippageBps": slippage_bps,
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


async def _left(receive: Receive, patience_s: float) -> bool:
    """Wait, and tell whether the client has gone away meanwhile."""
    try:
        async with asyncio.timeout(patience_s):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
