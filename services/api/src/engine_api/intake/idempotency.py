"""What makes a repeated request recognisable: its key, and the fingerprint of what it asks for."""

import hashlib
import re
from collections.abc import Sequence

from engine_api.intake.order_body import OrderTerms
from engine_api.problems import INVALID_PARAMETER, FieldError, invalid

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
KEY_PATTERN = f"^[!-~]([ -~]{{0,{MAX_KEY_LENGTH - 2}}}[!-~])?$"

_key = re.compile(f"[ -~]{{1,{MAX_KEY_LENGTH}}}")


def read_key(values: Sequence[str]) -> str | None:
    """Return the key that the request's headers of this name hold, quoted or not. Raises Refusal."""
    if not values:
        return None
    key = values[0].strip()
    if len(key) > len('""') and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(values) > 1 or not _key.fullmatch(key):
        message = f"must be given once, with 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        raise invalid(INVALID_PARAMETER, [FieldError(HEADER, message)])
    return key


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
