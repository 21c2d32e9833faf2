"""Request bodies: bounded in size, JSON, and never a number through a float."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request

from engine_api.problems import (
    NOT_JSON,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED_CODING,
    UNSUPPORTED_MEDIA_TYPE,
    Refusal,
)

MAX_BYTES = 64 * 1024

# Stands in the scope once the whole body is there.
WHOLE = "engine_api.whole"

_JSON = "application/json"
_IDENTITY = "identity"
# Longer integers become Decimals: Python refuses to read integers of more than some thousand digits at all.
_MAX_INT_DIGITS = 30


class DuplicateName(ValueError):
    """A JSON object has the same name twice; which one counts is anybody's guess."""


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_INT_DIGITS else _number(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateName("an object has the same name twice")
    return members


_decoder = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=_number, object_pairs_hook=_object)


def parse_json(text: str) -> Any:
    """Return the parsed JSON text with every fraction as a Decimal; `NaN` and infinities are read, as Decimals.

    Raises Refusal.
    """
    try:
        return _decoder.decode(text)
    except DuplicateName as error:
        raise Refusal(NOT_JSON, f"the body is ambiguous: {error}") from None
    except RecursionError:
        raise Refusal(NOT_JSON, "the body is nested too deeply") from None
    except ValueError as error:
        raise Refusal(NOT_JSON, f"the body is not JSON: {error}") from None


def decode(body: bytes) -> str:
    """Return the body as text; raise Refusal unless it is UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(NOT_JSON, "the body is not UTF-8") from None


async def read_json(request: Request[Any]) -> Any:
    """Return the parsed body of the request. Raises Refusal."""
    headers = request.headers
    _refuse_codings(headers.getlist("content-encoding"))
    media_type = headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
    if media_type != _JSON:
        raise Refusal(UNSUPPORTED_MEDIA_TYPE, f"the content type must be {_JSON}")
    if int(headers.get("content-length", "0")) > MAX_BYTES:
        raise _too_large()
    # Most bodies come with their head, and a time-out would be the dearest part of reading them.
    body = await (_read(request) if WHOLE in request.scope else _read_in_time(request))
    return parse_json(decode(body))


def _refuse_codings(values: Sequence[str]) -> None:
    """Refuse a body that is compressed, as none is decompressed here."""
    codings = {coding.strip(" \t").lower() for value in values for coding in value.split(",")} - {"", _IDENTITY}
    if codings:
        raise Refusal(
            UNSUPPORTED_CODING,
            "the body has a Content-Encoding, and none is read here: send the body as it is, without that header",
            headers={"accept-encoding": _IDENTITY},
        )


async def _read_in_time(request: Request[Any]) -> bytes:
    patience_s: float = request.state["client_patience_s"]
    try:
        async with asyncio.timeout(patience_s):
            return await _read(request)
    except TimeoutError:
        detail = f"the body did not come within {patience_s:g} s"
        raise Refusal(REQUEST_TIMEOUT, detail, headers={"connection": "close"}) from None


async def _read(request: Request[Any]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise _too_large()
    return b"".join(chunks)


def _too_large() -> Refusal:
    return Refusal(TOO_LARGE, f"a body has at most {MAX_BYTES} bytes")
