"""Query and path parameters, checked; what is wrong with one is said under its name."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from starlette.datastructures import QueryParams

from engine_api.intake.order_body import is_wallet
from engine_api.paging import decode_cursor
from engine_api.problems import INVALID_PARAMETER, FieldError, invalid
from engine_common.orders import OrderType
from engine_common.transitions import Status

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_SEQ = 2**31 - 1

WALLET_MESSAGE = "must be 1 to 64 printable ASCII characters"


def as_limit(text: str) -> int:
    """Return the length of a page."""
    return _whole_number(text, 1, MAX_LIMIT)


def as_seq(text: str) -> int:
    """Return the position in an order's history."""
    return _whole_number(text, 0, MAX_SEQ)


def as_status(text: str) -> Status:
    """Return the state of the machine."""
    return _one_of(text, {status.value: status for status in Status})


def as_order_type(text: str) -> OrderType:
    """Return the order type."""
    return _one_of(text, {order_type.value: order_type for order_type in OrderType})


def as_wallet(text: str) -> str:
    """Return the wallet's name."""
    if not is_wallet(text):
        raise ValueError(WALLET_MESSAGE)
    return text


def as_cursor(text: str) -> UUID:
    """Return the id behind which a page begins."""
    return decode_cursor(text)


def as_moment(text: str) -> datetime:
    """Return the time, in UTC. A plus sign that stands for a blank in a query is put back."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = in_utc = None
    if moment is None or in_utc is None or moment.tzinfo is None:
        raise ValueError("must be a time as RFC 3339 writes it, with its offset")
    return in_utc


class Parameters:
    """The query of one request; a parameter that is given twice is as wrong as one that cannot be read."""

    def __init__(self, query: QueryParams) -> None:
        self._query = query
        self.errors: list[FieldError] = []

    def read(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return the parameter's value, or None when it is not given or wrong; the latter is kept as an error."""
        values = self._query.getlist(name)
        if len(values) > 1:
            self.errors.append(FieldError(name, "must be given once"))
            return None
        return self.check_value(name, values[0], read) if values else None

    def check_value(self, name: str, text: str, read: Callable[[str], T]) -> T | None:
        """Return what the text means as this parameter, or None and keep what is wrong with it."""
        try:
            return read(text)
        except ValueError as error:
            self.errors.append(FieldError(name, str(error)))
            return None

    def check(self) -> None:
        """Raise Refusal if anything was wrong."""
        if self.errors:
            raise invalid(INVALID_PARAMETER, self.errors)


def _whole_number(text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"must be a whole number from {least} to {most}")


def _one_of(text: str, known: Mapping[str, T]) -> T:
    if text not in known:
        raise ValueError(f"must be one of {', '.join(known)}")
    return known[text]
