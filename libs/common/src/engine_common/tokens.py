"""The tokens that orders may name, and their amounts: exact integers of base units."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

# Solana's amounts are unsigned 64-bit integers.
MAX_BASE_UNITS = 2**64 - 1

_WIDE = Context(prec=80)
_PRICE = Context(prec=12, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the chain: its ticker, its mint address and the decimals of its display unit."""

    symbol: str
    mint: str
    decimals: int


TOKENS: Mapping[str, Token] = {
    token.symbol: token
    for token in (
        Token("SOL", "So11111111111111111111111111111111111111112", 9),
        Token("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6),
        Token("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6),
        Token("JUP", "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6),
        Token("RAY", "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6),
        Token("BONK", "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5),
        Token("WIF", "EKpQGSJtjMFqKZ9KQanSqYXRcFBfBopzLHYxdM65zcjm", 6),
        Token("PYTH", "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3", 6),
        Token("JTO", "jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL", 9),
        Token("mSOL", "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", 9),
    )
}

_BY_NAME: Mapping[str, Token] = {token.symbol.upper(): token for token in TOKENS.values()} | {
    token.mint: token for token in TOKENS.values()
}


def find(name: str) -> Token | None:
    """Return the token with this mint address, or this symbol in any case of ASCII; None when there is none."""
    # Unicode maps some foreign letters to ASCII ones: "\u017fol".upper() is "SOL".
    return _BY_NAME.get(name) or (_BY_NAME.get(name.upper()) if name.isascii() else None)


def to_base_units(amount: Decimal, token: Token) -> int:
    """Return the display amount in base units.

    Raises ValueError, with a reason to show to the user, when it is not a positive number that the token and the
    column can express exactly.
    """
    if not amount.is_finite():
        raise ValueError("must be a finite number")
    if amount <= 0:
        raise ValueError("must be greater than 0")
    # By magnitude first: 1e400 must not be written out digit by digit, and 1e-999999999 is 0 for any calculation.
    magnitude = amount.adjusted() + token.decimals
    if magnitude > len(str(MAX_BASE_UNITS)):
        raise ValueError(f"must be at most {to_display(MAX_BASE_UNITS, token)}")
    shifted = amount.scaleb(token.decimals, _WIDE)
    if magnitude < 0 or len(amount.as_tuple().digits) > _WIDE.prec or shifted != shifted.to_integral_value():
        raise ValueError(f"must have at most {token.decimals} decimals, as {token.symbol} has")
    base_units = int(shifted)
    if base_units > MAX_BASE_UNITS:
        raise ValueError(f"must be at most {to_display(MAX_BASE_UNITS, token)}")
    return base_units


def to_display(base_units: int, token: Token) -> str:
    """Return base units as a plain decimal string in the token's display unit, without trailing zeros."""
    whole, fraction = divmod(base_units, 10**token.decimals)
    digits = f"{fraction:0{token.decimals}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def execution_price(amount_in: int, token_in: Token, amount_out: int, token_out: Token) -> str:
    """Return tokenOut per tokenIn in display units, with 12 significant digits; amounts are base units."""
    scale = Decimal(10) ** (token_in.decimals - token_out.decimals)
    price = _PRICE.divide(Decimal(amount_out) * scale, Decimal(amount_in))
    return f"{price:f}"
