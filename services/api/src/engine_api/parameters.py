"""Query, path and header parameters: how each is read, and how the contract describes it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from starlette.requests import HTTPConnection

from engine_api.intake.idempotency import HEADER, KEY_PATTERN
from engine_api.intake.order_body import MAX_WALLET_LENGTH, WALLET_PATTERN, WALLET_RULE, is_wallet
from engine_api.order_ids import read_order_id
from engine_api.paging import CURSOR_PATTERN, decode_cursor
from engine_api.problems import INVALID_PARAMETER, FieldError, invalid
from engine_common.orders import OrderType
from engine_common.transitions import Status

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
_MAX_SEQ = 2**31 - 1
_MAX_REPORTED = 20
_MAX_NAME_LENGTH = 64

# RFC 3339; the blank may be a plus sign that the query has turned into one.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+ -][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """A parameter: `read` turns its text into its meaning or raises ValueError, `schema` says the same to machines.

    `found_as` is the member of answers that holds such a value.
    """

    name: str
    read: Callable[[str], T]
    description: str
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    place: Literal["query", "path", "header"] = "query"
    found_as: str | None = None


class Parameters:
    """The query of one request or WebSocket.

    A parameter that its route does not have, and one that is given twice, are as wrong as one that cannot be read.
    """

    def __init__(self, connection: HTTPConnection[Any]) -> None:
        self._query = connection.query_params
        known = connection.scope["route"].query_names
        unknown = [name for name in dict.fromkeys(self._query.keys()) if name not in known]
        expected = f"known here: {', '.join(sorted(known))}" if known else "this address takes none"
        self.errors = [
            FieldError(_shown(name), f"is not a query parameter of this address ({expected})")
            for name in unknown[:_MAX_REPORTED]
        ]

    def read(self, parameter: Parameter[T]) -> T | None:
        """Return the parameter's value, or None when it is not given or wrong; the latter is kept as an error."""
        values = self._query.getlist(parameter.name)
        if len(values) > 1:
            self.errors.append(FieldError(parameter.name, "must be given once"))
            return None
        return self.read_text(parameter, values[0]) if values else None

    def read_text(self, parameter: Parameter[T], text: str) -> T | None:
        """Return what the text means as this parameter, or None and keep what is wrong with it."""
        try:
            return parameter.read(text)
        except ValueError as error:
            self.errors.append(FieldError(parameter.name, str(error)))
            return None

    def read_one_of(self, parameters: Sequence[Parameter[T]]) -> T | None:
        """Return the value of a parameter that has several names, of which a request may give one."""
        given = [parameter for parameter in parameters if parameter.name in self._query]
        for other in given[1:]:
            self.errors.append(FieldError(other.name, f"says the same as {given[0].name}: give one of them"))
        return self.read(given[0]) if given else None

    def check(self) -> None:
        """Raise Refusal if anything was wrong."""
        if self.errors:
            raise invalid(INVALID_PARAMETER, self.errors)


def _shown(name: str) -> str:
    """Return the name as an answer may repeat it: bounded, and without half a surrogate pair."""
    return name[:_MAX_NAME_LENGTH].encode(errors="replace").decode()


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"must be a whole number from {least} to {most}")

    return read


def _one_of(*known: T) -> Callable[[str], T]:
    by_name = {str(value): value for value in known}

    def read(text: str) -> T:
        if text not in by_name:
            raise ValueError(f"must be one of {', '.join(by_name)}")
        return by_name[text]

    return read


def _as_wallet(text: str) -> str:
    if not is_wallet(text):
        raise ValueError(WALLET_RULE)
    return text


def _as_moment(text: str) -> datetime:
    """Return the time in UTC; a blank before the offset is a plus sign that the query has turned into one."""
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text[:11] + text[11:].upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time as RFC 3339 writes it, with its offset: 2026-01-31T12:00:00Z")


_WALLET = {"type": "string", "pattern": WALLET_PATTERN, "maxLength": MAX_WALLET_LENGTH}

LIMIT = Parameter(
    "limit",
    _whole_number(1, MAX_LIMIT),
    "most orders on the page",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
)
CURSOR = Parameter(
    "cursor", decode_cursor, "`nextCursor` of the page before", {"type": "string", "pattern": CURSOR_PATTERN}
)
STATUS = Parameter("status", _one_of(*Status), "only orders in this state", {"type": "string", "enum": [*Status]})
ORDER_TYPE = Parameter(
    "type", _one_of(*OrderType), "only orders of this type", {"type": "string", "enum": [*OrderType]}
)
WALLET = Parameter("wallet", _as_wallet, "only orders of this wallet", _WALLET)
USER_WALLET = Parameter("userWallet", _as_wallet, "the same as `wallet`, as bodies spell it", _WALLET)
USER_ID = Parameter("userId", _as_wallet, "the wallet, as clients of earlier engines spell it", _WALLET)
# The names of one parameter, of which a request gives one.
WALLETS = (WALLET, USER_WALLET, USER_ID)
WALLET_IN_PATH = Parameter("wallet", _as_wallet, "the wallet", _WALLET, place="path", found_as="userWallet")
ORDER_ID_IN_PATH = Parameter(
    "id", read_order_id, "the order's id", {"type": "string", "format": "uuid"}, place="path", found_as="orderId"
)
ORDER_ID = Parameter("orderId", read_order_id, "the order's id", {"type": "string", "format": "uuid"})
AFTER = Parameter(
    "after",
    _whole_number(0, _MAX_SEQ),
    "`seq` of the last event received; the stream goes on behind it",
    {"type": "integer", "minimum": 0, "default": 0},
)
SINCE = Parameter(
    "since",
    _as_moment,
    "also finished orders that changed since, and only what changed since",
    {"type": "string", "format": "date-time"},
)
IDEMPOTENCY_KEY = Parameter(
    HEADER,
    str,
    "a repeated request with the same key, quoted or not, gets the first one's order",
    {"type": "string", "pattern": KEY_PATTERN},
    place="header",
)
