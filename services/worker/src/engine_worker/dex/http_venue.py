"""A venue behind an HTTP quote interface, as `docs/contracts.md` describes it."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from engine_common.errors import AmountTooSmall, NoLiquidity, UnknownPair, Unreachable
from engine_common.tokens import MAX_BASE_UNITS
from engine_worker.dex.http_client import HttpClient, NoAnswer, Response
from engine_worker.ports import Quote, QuoteRequest

# A quote that takes longer is worth nothing.
_QUOTE_WITHIN_S = 2.0

# What orders keep of an offer: anything else could neither be stored nor signed.
_ADDRESS = re.compile("[1-9A-HJ-NP-Za-km-z]{32,44}")
_PERCENT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE]-?[0-9]{1,2})?")

_REFUSES_US = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_NO_OFFER: Mapping[str, type[NoLiquidity]] = {
    "unknown_pair": UnknownPair,
    "amount_too_small": AmountTooSmall,
    "insufficient_liquidity": NoLiquidity,
}


class HttpVenue:
    """Asks one venue for quotes over a shared client."""

    name: str
    program_id: str

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._path = f"/venues/{self.name}/quote"

    async def quote(self, request: QuoteRequest) -> Quote:
        """Return the venue's offer.

        Raises NoLiquidity (UnknownPair, AmountTooSmall), or Unreachable when there is no usable answer.
        """
        sold, bought = request.token_in.mint, request.token_out.mint
        query = f"inputMint={sold}&outputMint={bought}&amount={request.amount_in}"
        try:
            response = await self._http.get(self._path, query, within_s=_QUOTE_WITHIN_S)
        except NoAnswer as error:
            raise Unreachable(str(error)) from error
        return self._read(request, response)

    def _read(self, request: QuoteRequest, response: Response) -> Quote:
        status = response.status
        try:
            answer: Mapping[str, Any] = orjson.loads(response.body)
            if status == HTTPStatus.OK:
                self._require_answer_to(request, answer, response)
                return self._offer(answer)
            code, message = answer["code"], answer["message"]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise Unreachable(_unusable(status), response.retry_after_s) from error
        if (kind := _NO_OFFER.get(code)) is not None:
            raise kind(message)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unreachable(f"answered {status}: {message}", response.retry_after_s)
        if status in _REFUSES_US:
            raise Unreachable(f"answered {status}: check the key, user and password in DEX_URL")
        raise RuntimeError(f"{self.name} refused the quote request with {status} {code}: {message}")

    def _require_answer_to(self, request: QuoteRequest, answer: Mapping[str, Any], response: Response) -> None:
        """Raise ValueError, and close the connection, when the offer answers another question."""
        asked = (request.token_in.mint, request.token_out.mint, str(request.amount_in))
        if (answer["inputMint"], answer["outputMint"], str(answer["inAmount"])) != asked:
            response.discard()
            raise ValueError("the offer is for another pair or amount")

    def _offer(self, answer: Mapping[str, Any]) -> Quote:
        pool, amount_out, fee_amount = answer["pool"], int(answer["outAmount"]), int(answer["feeAmount"])
        if amount_out == 0:
            raise AmountTooSmall("the amount is so small that it would pay nothing")
        impact = str(answer["priceImpactPct"])
        if not 0 < amount_out <= MAX_BASE_UNITS or not 0 <= fee_amount <= MAX_BASE_UNITS:
            raise ValueError("its amounts are none of the chain's")
        if not _ADDRESS.fullmatch(pool) or not _PERCENT.fullmatch(impact):
            raise ValueError("its pool is no address, or its price impact no number")
        return Quote(
            venue=self.name,
            pool=pool,
            amount_out=amount_out,
            fee_amount=fee_amount,
            price_impact_pct=impact,
        )


def _unusable(status: int) -> str:
    return f"answered {status} with a body that is no quote of what was asked"
