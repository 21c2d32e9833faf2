"""The pools: one for each pair at each venue, displaced by trades and pulled back by arbitrage."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from itertools import combinations
from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from mockdex.curves import VENUES, Depth
from mockdex.tokens import TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mockdex.curves import Book, Curve, Fill, Venue
    from mockdex.prices import PriceWalk
    from mockdex.tokens import Token

# Worth of each side of a pool. 20,000 SOL sold at once move its price by less than 0.4 %.
_SIDE_USD_FEMTO = 2_000_000_000 * 10**15
ARBITRAGE_HALF_LIFE_MS = 2_000
_LONGEST_PULL_SLOTS = 100_000


class Arbitrage:
    """Pulls displaced pools back towards their walk with a half-life of 2 s, a step each slot."""

    def __init__(self, block_ms: int) -> None:
        # Decimal, not float: the same on every machine.
        step = int(Decimal(2) ** (Decimal(-block_ms) / ARBITRAGE_HALF_LIFE_MS) * 2**64)
        self._left_q64 = [1 << 64]
        while self._left_q64[-1] and len(self._left_q64) < _LONGEST_PULL_SLOTS:
            self._left_q64.append(self._left_q64[-1] * step >> 64)

    def left(self, displacement: tuple[int, ...], slots: int) -> tuple[int, ...]:
        """Return what remains of a displacement after so many slots."""
        if not displacement or slots <= 0:
            return displacement
        if slots >= len(self._left_q64):
            return ()
        factor = self._left_q64[slots]
        return tuple(part * factor >> 64 if part > 0 else -(-part * factor >> 64) for part in displacement)


class Market:
    """A pool. Asking it changes nothing; only a settled swap does."""

    __slots__ = (
        "_arbitrage",
        "_book",
        "_curve",
        "_place",
        "_price_q64",
        "_slot",
        "_walk",
        "address",
        "displaced_at",
        "displacement",
        "key",
        "program_key",
        "venue",
        "x",
        "x_key",
        "y",
        "y_key",
    )

    def __init__(
        self, venue: Venue, place: int, pair: tuple[Token, Token], walk: PriceWalk, arbitrage: Arbitrage
    ) -> None:
        self.venue = venue
        self.x, self.y = pair
        self.x_key, self.y_key = (bytes(Pubkey.from_string(token.mint)) for token in pair)
        self.key = sha256(f"mockdex pool {venue.name} {self.x.mint} {self.y.mint}".encode()).digest()
        self.program_key = bytes(Pubkey.from_string(venue.program))
        self.address = str(Pubkey.from_bytes(self.key))
        self.displacement: tuple[int, ...] = ()
        self.displaced_at = 0
        self._place = place
        self._walk = walk
        self._arbitrage = arbitrage
        self._curve: Curve = venue.open_curve(_depth(self.x, self.y))
        self._book: Book | None = None
        self._slot = -1
        self._price_q64 = 0

    def book(self, slot: int) -> Book:
        """Return the pool as it is in a slot."""
        if self._slot != slot:
            self._price_q64 = self._walk.price_q64(self.x, self.y, slot, self._place, len(VENUES))
            self._slot, self._book = slot, None
        if self._book is None:
            self._book = self._curve.book(self._price_q64, self._displacement_in(slot))
        return self._book

    def settle(self, slot: int, fill: Fill) -> None:
        """Move the pool by an executed swap."""
        before = self._displacement_in(slot) or (0,) * len(fill.shift)
        self.displacement = tuple(part + moved for part, moved in zip(before, fill.shift, strict=True))
        self.displaced_at = slot
        self._book = None

    def restore(self, displacement: tuple[int, ...], slot: int) -> None:
        """Put the pool where it was in a slot."""
        self.displacement, self.displaced_at, self._book = displacement, slot, None

    def _displacement_in(self, slot: int) -> tuple[int, ...]:
        return self._arbitrage.left(self.displacement, slot - self.displaced_at)


class Markets:
    """All pools."""

    def __init__(self, walk: PriceWalk, block_ms: int) -> None:
        arbitrage = Arbitrage(block_ms)
        self.by_key: dict[bytes, Market] = {}
        self._routes: dict[str, dict[tuple[str, str], tuple[Market, bool]]] = {venue.name: {} for venue in VENUES}
        for place, venue in enumerate(VENUES):
            for y, x in combinations(TOKENS, 2):
                market = Market(venue, place, (x, y), walk, arbitrage)
                self.by_key[market.key] = market
                self._routes[venue.name][x.mint, y.mint] = (market, True)
                self._routes[venue.name][y.mint, x.mint] = (market, False)

    def find(self, venue: str, input_mint: str, output_mint: str) -> tuple[Market, bool] | None:
        """Return a venue's pool for a swap and whether it goes from X to Y; None for an unknown pair."""
        return self._routes[venue].get((input_mint, output_mint))

    def of(self, venue: str) -> Iterator[Market]:
        """List a venue's pools."""
        return (market for market in self.by_key.values() if market.venue.name == venue)


def _depth(x: Token, y: Token) -> Depth:
    side_x = _SIDE_USD_FEMTO * 10**x.decimals // x.usd_femto
    side_y = _SIDE_USD_FEMTO * 10**y.decimals // y.usd_femto
    price_q64 = ((x.usd_femto * 10**y.decimals) << 64) // (y.usd_femto * 10**x.decimals)
    return Depth(side_x, side_y, price_q64)
