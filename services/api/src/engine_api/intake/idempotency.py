"""What makes a repeated request recognisable: its key, and the fingerprint of what it asks for."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, cast

from engine_api.intake.order_body import OrderTerms
from engine_api.problems import INVALID_PARAMETER, FieldError, invalid

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
MEMBER = "idempotencyKey"
# Of the two alternatives the second is for what begins with a quote: there is something in it.
KEY_PATTERN = f'^([!#-~]([ -~]{{0,{MAX_KEY_LENGTH - 2}}}[!-~])?|"[!#-~]([ -~]{{0,{MAX_KEY_LENGTH - 3}}}[!-~])?)$'

_key = re.compile(f"(?=.*[!-~])[ -~]{{1,{MAX_KEY_LENGTH}}}")
_RULE = f"must be given once, with 1 to {MAX_KEY_LENGTH} printable ASCII characters that are not all blanks"


def read_key(values: Sequence[str]) -> str | None:
    """Return the key that the request's headers of this name hold, quoted or not. Raises Refusal."""
    if not values:
        return None
    key = _unquoted(values[0])
    if len(values) > 1 or key is None:
        raise invalid(INVALID_PARAMETER, [FieldError(HEADER, _RULE)])
    return key


def take_key(body: Any, header: str | None) -> str | None:
    """Take the key out of a first message's body, where it works as in a header, and return it. Raises Refusal.

    A page cannot set headers on a WebSocket. Where both are given, they must be the same key.
    """
    value: Any = cast(dict[str, Any], body).pop(MEMBER, None) if isinstance(body, dict) else None
    if value is None:
        return header
    key = _unquoted(value) if isinstance(value, str) else None
    if key is None:
        raise invalid(INVALID_PARAMETER, [FieldError(MEMBER, _RULE)])
    if header not in (None, key):
        message = f"is another key than that of the header {HEADER}: give one of them"
        raise invalid(INVALID_PARAMETER, [FieldError(MEMBER, message)])
    return key


def _unquoted(text: str) -> str | None:
    """Return the key without blanks and quotes around it, None when it is none."""
    key = text.strip(" \t")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    return key if _key.fullmatch(key) else None


def fingerprint(operation: str, terms: OrderTerms) -> bytes:
    """Return what is equal for two requests that ask for the same, however they spell it."""
    # The wallet stands last: it is the only part that may hold any character.
    parts = (
        operation,
        terms.type.value,
        terms.token_in.symbol,
        terms.token_out.symbol,
        terms.amount_in,
        terms.slippage_bps,
        terms.min_amount_out,
        terms.user_wallet,
    )
    return hashlib.sha256("|".join(map(str, parts)).encode()).digest()
