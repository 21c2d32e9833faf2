"""The order that a request body asks for, checked and normalised."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from engine_api.problems import INVALID_ORDER, UNSUPPORTED_TYPE, FieldError, Refusal, invalid
from engine_common import tokens
from engine_common.orders import OrderType
from engine_common.tokens import Token

DEFAULT_SLIPPAGE_BPS = 50
MAX_SLIPPAGE_BPS = 10_000
DEFAULT_WALLET = "anonymous"
MAX_WALLET_LENGTH = 64
# Not `.` and not `..`, which name other addresses wherever a path is normalised. There is no look-ahead, because not
# every reader of the contract has them: three dots come first, or a character that is no dot behind at most two.
WALLET_PATTERN = r"^(\.{3}[ -~]{0,61}|\.{0,2}[ -\-/-~][ -~]{0,63})$"
WALLET_RULE = "must be 1 to 64 printable ASCII characters, and not `.` or `..`"
DECIMAL_PATTERN = r"^([+-]?[0-9]+(\.[0-9]*)?|[+-]?\.[0-9]+)([eE][+-]?[0-9]{1,6})?$"

# Clients of earlier engines spell some fields differently.
SPELLINGS: Final[Mapping[str, str]] = {
    "type": "type",
    "tokenIn": "tokenIn",
    "inputToken": "tokenIn",
    "tokenOut": "tokenOut",
    "outputToken": "tokenOut",
    "amountIn": "amountIn",
    "inputAmount": "amountIn",
    "slippageBps": "slippageBps",
    "minAmountOut": "minAmountOut",
    "userWallet": "userWallet",
    "userId": "userWallet",
}

_MAX_REPORTED = 20
_MAX_NAME_LENGTH = 64

_types = {order_type.value: order_type for order_type in OrderType}
_wallet = re.compile(WALLET_PATTERN)
# Decimal() itself would also take blanks, underscores and the digits of every script.
_decimal = re.compile(DECIMAL_PATTERN)
_not_finite = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What is to be traded for whom; amounts in base units."""

    type: OrderType
    token_in: Token
    token_out: Token
    amount_in: int
    slippage_bps: int | None
    min_amount_out: int | None
    user_wallet: str


def is_wallet(text: str) -> bool:
    """Tell whether the text can be a wallet's name."""
    return len(text) <= MAX_WALLET_LENGTH and _wallet.fullmatch(text) is not None


def read_terms(body: Any) -> OrderTerms:
    """Return the terms of the order that the parsed body describes. Raises Refusal, which names every wrong field."""
    if not isinstance(body, dict):
        raise Refusal(INVALID_ORDER, "the body must be a JSON object")
    reader = _Reader(cast(dict[str, Any], body))
    terms = reader.terms()
    if terms is None:
        raise invalid(UNSUPPORTED_TYPE if reader.unsupported_type else INVALID_ORDER, reader.errors[:_MAX_REPORTED])
    return terms


class _Reader:
    """Reads one body and collects what is wrong with it, under the names that the client used."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.errors: list[FieldError] = []
        self.unsupported_type = False
        self._values: dict[str, Any] = {}
        self._spelt: dict[str, str] = {}
        for name, value in body.items():
            self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        field = SPELLINGS.get(name)
        if field is None:
            if len(self.errors) < _MAX_REPORTED:
                shown = name[:_MAX_NAME_LENGTH].encode(errors="replace").decode()
                self.errors.append(FieldError(shown, "is not a field of an order"))
        elif field in self._spelt:
            self.errors.append(FieldError(name, f"says the same as {self._spelt[field]}: give one of them"))
        else:
            self._spelt[field] = name
            if value is not None:
                self._values[field] = value

    def terms(self) -> OrderTerms | None:
        """Return the terms, or None when there are errors."""
        order_type = self._type()
        token_in = self._token("tokenIn")
        token_out = self._token("tokenOut")
        if token_in is not None and token_in is token_out:
            self._wrong("tokenOut", "must be another token than tokenIn")
        amount_in = self._amount("amountIn", token_in, required=True)
        slippage_bps = self._slippage()
        min_amount_out = self._amount("minAmountOut", token_out)
        if slippage_bps is None and min_amount_out is None:
            slippage_bps = DEFAULT_SLIPPAGE_BPS
        wallet = self._wallet()
        if self.errors or token_in is None or token_out is None or amount_in is None:
            return None
        return OrderTerms(order_type, token_in, token_out, amount_in, slippage_bps, min_amount_out, wallet)

    def _wrong(self, field: str, message: str) -> None:
        self.errors.append(FieldError(self._spelt.get(field, field), message))

    def _type(self) -> OrderType:
        value = self._values.get("type", OrderType.MARKET.value)
        known = _types.get(value) if isinstance(value, str) else None
        if known is None:
            self.unsupported_type = isinstance(value, str)
            self._wrong("type", f"must be one of {', '.join(_types)}")
        return known or OrderType.MARKET

    def _token(self, field: str) -> Token | None:
        value = self._values.get(field)
        if value is None:
            self._wrong(field, "is required")
            return None
        token = tokens.find(value) if isinstance(value, str) else None
        if token is None:
            self._wrong(field, f"must be the mint address of a known token, or one of {', '.join(tokens.TOKENS)}")
        return token

    def _amount(self, field: str, token: Token | None, *, required: bool = False) -> int | None:
        value = self._values.get(field)
        if value is None:
            if required:
                self._wrong(field, "is required")
            return None
        try:
            amount = _as_decimal(value)
            return None if token is None else tokens.to_base_units(amount, token)
        except ValueError as error:
            self._wrong(field, str(error))
            return None

    def _slippage(self) -> int | None:
        value = self._values.get("slippageBps")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            self._wrong("slippageBps", "must be a whole number")
        elif not _within(value, 0, MAX_SLIPPAGE_BPS):
            self._wrong("slippageBps", f"must be a whole number from 0 to {MAX_SLIPPAGE_BPS}")
        else:
            return int(value)
        return None

    def _wallet(self) -> str:
        value = self._values.get("userWallet", DEFAULT_WALLET)
        if isinstance(value, str) and is_wallet(value):
            return value
        self._wrong("userWallet", WALLET_RULE)
        return DEFAULT_WALLET


def _as_decimal(value: Any) -> Decimal:
    """Return the number that a JSON number or a string means; raise ValueError when it means none."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str):
        if _decimal.fullmatch(value):
            return Decimal(value)
        if _not_finite.fullmatch(value):
            raise ValueError("must be a finite number")
    raise ValueError("must be a decimal number")


def _within(value: int | Decimal, least: int, most: int) -> bool:
    """Tell whether the number is a whole one within the bounds; compared first, because 1e400 has 401 digits."""
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    return least <= value <= most and value == int(value)
