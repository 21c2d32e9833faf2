"""A venue over HTTP: every answer of the contract, and every other one, read as what it means for an order."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from devstack.ports import free_port
from engine_common.errors import AmountTooSmall, NoLiquidity, UnknownPair, Unreachable
from engine_common.tokens import TOKENS
from engine_worker.dex.http_client import HttpClient
from engine_worker.dex.http_venue import HttpVenue
from engine_worker.dex.meteora import Meteora
from engine_worker.dex.raydium import Raydium
from engine_worker.ports import Quote, QuoteRequest
from support.orders import POOL
from support.web import Said, answering_server

REQUEST = QuoteRequest(TOKENS["SOL"], TOKENS["USDC"], 1_500_000_000)
OFFER = {
    "inputMint": TOKENS["SOL"].mint,
    "outputMint": TOKENS["USDC"].mint,
    "inAmount": "1500000000",
    "outAmount": "222913001",
    "otherAmountThreshold": "221798437",
    "slippageBps": 50,
    "priceImpactPct": "0.004",
    "feeAmount": "1500000",
    "pool": POOL,
    "contextSlot": 1234,
}


@pytest.fixture
async def server() -> AsyncIterator[Said]:
    async with answering_server() as said:
        yield said


@pytest.fixture
async def venue(server: Said) -> AsyncIterator[HttpVenue]:
    async with aclosing(HttpClient(server.url, max_connections=8)) as http:
        yield Raydium(http)


async def test_an_offer_is_read_as_it_was_meant(venue: HttpVenue, server: Said) -> None:
    """Amounts are decimal strings of base units; the fee is in the input token."""
    server.body = orjson.dumps(OFFER)
    assert await venue.quote(REQUEST) == Quote("raydium", POOL, 222_913_001, 1_500_000, "0.004")
    ((path, _),) = server.requests
    assert path == (
        f"/venues/raydium/quote?inputMint={TOKENS['SOL'].mint}&outputMint={TOKENS['USDC'].mint}&amount=1500000000"
    )


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "unknown_pair", UnknownPair),
        (422, "amount_too_small", AmountTooSmall),
        (422, "insufficient_liquidity", NoLiquidity),
        (429, "rate_limited", Unreachable),
        (500, "internal_error", Unreachable),
        (504, "timeout", Unreachable),
        (503, "anything", Unreachable),
        (400, "invalid_request", RuntimeError),
    ],
)
async def test_a_refusal_is_read_as_the_contract_says(
    venue: HttpVenue, server: Said, status: int, code: str, error: type[Exception]
) -> None:
    """No liquidity, no answer yet, or a bug of ours."""
    server.status = status
    server.body = orjson.dumps({"code": code, "message": "the reason"})
    with pytest.raises(error, match="the reason"):
        await venue.quote(REQUEST)


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"5", b"{}", b'{"code": 5}', b"\xff"])
async def test_an_answer_that_is_none_is_no_verdict_on_the_order(
    venue: HttpVenue, server: Said, status: int, body: bytes
) -> None:
    """A proxy's error page says nothing about liquidity."""
    server.status = status
    server.body = body
    with pytest.raises(Unreachable):
        await venue.quote(REQUEST)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"outAmount": "many"}, {"outAmount": "-1"}, {"outAmount": str(2**64)}, {"feeAmount": "-"}),
        *({"feeAmount": "-1"}, {"feeAmount": str(2**64)}, {"pool": None}, {"pool": 5}, {"pool": "8sLb"}),
        *(
            {"pool": POOL + "\0"},
            {"priceImpactPct": "a lot"},
            {"priceImpactPct": "1" * 5_000},
            {"priceImpactPct": "\0"},
        ),
    ],
)
async def test_an_offer_that_no_order_can_keep_is_none(venue: HttpVenue, server: Said, wrong: dict[str, Any]) -> None:
    """Refused here, it costs a wait; kept, the database would refuse the order's move."""
    server.body = orjson.dumps(OFFER | wrong)
    with pytest.raises(Unreachable):
        await venue.quote(REQUEST)


async def test_an_offer_of_nothing_says_that_the_amount_is_too_small(venue: HttpVenue, server: Said) -> None:
    """A larger amount would be paid for."""
    server.body = orjson.dumps(OFFER | {"outAmount": "0"})
    with pytest.raises(AmountTooSmall):
        await venue.quote(REQUEST)


async def test_the_largest_amount_of_the_chain_is_an_offer(venue: HttpVenue, server: Said) -> None:
    """Solana's amounts are unsigned 64-bit integers."""
    server.body = orjson.dumps(OFFER | {"outAmount": str(2**64 - 1)})
    assert (await venue.quote(REQUEST)).amount_out == 2**64 - 1


@pytest.mark.parametrize("threshold", ["1", "0", str(2**64), None, "many"])
async def test_what_a_venue_calls_its_threshold_is_not_read(
    venue: HttpVenue, server: Said, threshold: str | None
) -> None:
    """The engine computes the minimum output: the venue must not decide how much its user may lose."""
    server.body = orjson.dumps(OFFER | {"otherAmountThreshold": threshold})
    assert (await venue.quote(REQUEST)).amount_out == 222_913_001


async def test_a_venue_that_is_not_there_is_unreachable() -> None:
    """It may come back."""
    async with aclosing(HttpClient(f"http://127.0.0.1:{free_port()}", max_connections=8)) as http:
        with pytest.raises(Unreachable, match="cannot connect"):
            await Meteora(http).quote(REQUEST)
