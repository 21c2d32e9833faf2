"""The one form in which a client writes an order's id: 8-4-4-4-12 hexadecimal digits (RFC 9562), in either case."""

import re
from uuid import UUID

from starlette.convertors import Convertor, register_url_convertor

# Neither line of a path may follow: a regular expression's `$` also matches before the last line end.
_PATTERN = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?!\n)"
_order_id = re.compile(_PATTERN)


def read_order_id(text: str) -> UUID:
    """Return the id; raise ValueError for any other text, also one that `UUID` itself would read."""
    if not _order_id.fullmatch(text):
        raise ValueError("must be the id of an order")
    return UUID(text)


class OrderIdConvertor(Convertor[UUID]):
    """Reads an order's id in a path; another text is no address of this route."""

    regex = _PATTERN

    def convert(self, value: str) -> UUID:
        """Return the id."""
        return UUID(value)

    def to_string(self, value: UUID) -> str:
        """Return the segment of a path that names the id."""
        return str(value)


class SegmentConvertor(Convertor[str]):
    """Takes a whole segment of a path, whichever characters it holds after decoding."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return the segment."""
        return value

    def to_string(self, value: str) -> str:
        """Return the segment."""
        return value


def register() -> None:
    """Make both known to the routes, as `order_id` and `segment`."""
    register_url_convertor("order_id", OrderIdConvertor())
    register_url_convertor("segment", SegmentConvertor())
