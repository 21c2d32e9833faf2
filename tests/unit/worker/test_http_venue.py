"""A venue over HTTP: every answer of the contract, and every other one, read as what it means for an order."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from devstack.ports import free_port
from engine_common.errors import AmountTooSmall, NoLiquidity, UnknownPair, Unreachable
from engine_common.tokens import TOKENS
from engine_worker.dex.http_client import HttpClient, Response
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


@pytest.mark.parametrize(
    "other", [{"inputMint": "x"}, {"outputMint": TOKENS["JUP"].mint}, {"inAmount": "1500000001"}, {"inAmount": None}]
)
async def test_an_offer_for_another_pair_or_amount_is_another_orders(
    venue: HttpVenue, server: Said, other: dict[str, Any]
) -> None:
    """A stray answer must not become this order's quote, and the ones behind it on the connection neither."""
    server.body = orjson.dumps(OFFER | other)
    with pytest.raises(Unreachable, match="no quote of what was asked"):
        await venue.quote(REQUEST)


class _Credulous(Raydium):
    """A venue that takes whatever comes for the answer to its question, as it once did."""

    def _require_answer_to(self, request: QuoteRequest, answer: Mapping[str, Any], response: Response) -> None:
        del request, answer, response


async def _repeating(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request, and before the second one the first once more: an answer that was duplicated on its way."""
    first = b""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        for number in itertools.count():
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            amount = parse_qs(head.split(" ")[1].partition("?")[2])["amount"][0]
            body = orjson.dumps(OFFER | {"inAmount": amount, "outAmount": amount})
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            first = first or answer
            writer.write(first + answer if number == 1 else answer)
    writer.close()


@pytest.mark.parametrize(("kind", "mistaken"), [(Raydium, False), (_Credulous, True)])
async def test_every_answer_belongs_to_its_request(kind: type[HttpVenue], mistaken: bool) -> None:
    """A repeated answer never becomes another order's quote; a venue with that bug is found."""
    handlers: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.create_task(_repeating(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aclosing(HttpClient(url, max_connections=1)) as http:
        venue, offered = kind(http), []
        for amount in (1_000, 2_000, 3_000, 4_000):
            try:
                offered.append((amount, (await venue.quote(replace(REQUEST, amount_in=amount))).amount_out))
            except Unreachable:
                continue
    server.close()
    await asyncio.gather(*handlers)
    assert any(asked != answered for asked, answered in offered) is mistaken
    assert len(offered) >= 2


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_no_bug_of_ours(venue: HttpVenue, server: Said, status: int) -> None:
    """The order waits while somebody mends the key, and no attempt is spent."""
    server.status = status
    server.body = orjson.dumps({"code": "unauthorized", "message": "no"})
    with pytest.raises(Unreachable, match="check the key, user and password in DEX_URL"):
        await venue.quote(REQUEST)


async def test_a_venue_that_says_when_to_come_back_is_heard(venue: HttpVenue, server: Said) -> None:
    """The circuit leaves it alone until then."""
    server.status, server.headers = 429, {"retry-after": "3"}
    server.body = orjson.dumps({"code": "rate_limited", "message": "too many requests"})
    with pytest.raises(Unreachable) as raised:
        await venue.quote(REQUEST)
    assert raised.value.retry_after_s == 3.0


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
