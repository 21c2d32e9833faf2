"""Keyset pages: the cursor is the id of the last order seen, opaque to clients."""

import base64
from uuid import UUID

# 16 bytes in base64url: the last of 22 characters carries two bits.
CURSOR_PATTERN = "^[A-Za-z0-9_-]{21}[AQgw]$"


def encode_cursor(order_id: UUID) -> str:
    """Return the cursor behind which the next page begins."""
    return base64.urlsafe_b64encode(order_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """Return the order id of the cursor; raise ValueError when it is none of ours."""
    try:
        order_id = UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except ValueError:  # neither base64 nor of an id's length
        order_id = None
    if order_id is None or encode_cursor(order_id) != cursor:
        raise ValueError("must be a cursor from an earlier page")
    return order_id
