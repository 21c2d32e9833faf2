"""The tokens that the mock knows, with what each is worth where its walk starts."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """An SPL token."""

    symbol: str
    mint: str
    decimals: int
    usd_femto: int
    """worth of one whole token at the middle of its walk, in 1e-15 USD"""
    volatility_percent: int
    """how far it walks, in percent of an ordinary token's way"""


# The earlier a token stands here, the rather it is the quote side (Y) of a pair.
TOKENS = (
    Token("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6, 1_000_000_000_000_000, 2),
    Token("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6, 1_000_000_000_000_000, 2),
    Token("SOL", "So11111111111111111111111111111111111111112", 9, 150_000_000_000_000_000, 100),
    Token("mSOL", "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", 9, 190_000_000_000_000_000, 100),
    Token("JUP", "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6, 750_000_000_000_000, 100),
    Token("RAY", "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6, 2_400_000_000_000_000, 100),
    Token("BONK", "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5, 28_000_000_000, 100),
    Token("WIF", "EKpQGSJtjMFqKZ9KQanSqYXRcFBfBopzLHYxdM65zcjm", 6, 1_100_000_000_000_000, 100),
    Token("PYTH", "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3", 6, 280_000_000_000_000, 100),
    Token("JTO", "jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL", 9, 2_100_000_000_000_000, 100),
)
