"""The walk of prices: what a pair is worth at a venue in a slot, as a function of (seed, slot) and nothing else."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mockdex.tokens import Token

PPB = 1_000_000_000

# Each octave is a chain of hashed knots, so many slots apart and so far out at most (ppb), joined by straight lines.
# Together a token moves by less than 5 bps in 3 s, so that an ordinary slippage tolerance survives the execution delay.
_OCTAVES = ((25, 200_000), (150, 1_500_000), (1_500, 12_000_000), (9_000, 40_000_000))

# The venues' distance stays for an epoch and drifts to its next value in the epoch's last slots: slowly enough that
# swaps in flight meanwhile stay within 50 bps, seldom enough that the venues are hardly ever less than 2 % apart.
_EPOCH_SLOTS = 9_000
_DRIFT_SLOTS = 300
_LEAST_DISTANCE_PPB = 24_000_000
_LARGEST_DISTANCE_PPB = 46_000_000


class PriceWalk:
    """Prices of a seed. All arithmetic is on integers, so that every machine walks the same way."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._knot = lru_cache(maxsize=4096)(self._hash)
        self._worth: dict[str, tuple[int, int]] = {}

    def price_q64(self, x: Token, y: Token, slot: int, place: int, places: int) -> int:
        """Return what a base unit of X is worth in base units of Y, times 2**64, at venue `place` of `places`."""
        worth_x = self.worth(x, slot) * 10**y.decimals
        worth_y = self.worth(y, slot) * 10**x.decimals
        offset = self.distance_ppb(x, y, slot) * (2 * place - (places - 1)) // (2 * (places - 1)) if places > 1 else 0
        return ((worth_x * (PPB + offset)) << 64) // (worth_y * PPB)

    def worth(self, token: Token, slot: int) -> int:
        """Return what a whole token is worth in the slot, in 1e-15 USD."""
        known = self._worth.get(token.mint)
        if known is not None and known[0] == slot:
            return known[1]
        offset = sum(self._noise(token.symbol, octave, slot) for octave in range(len(_OCTAVES)))
        worth = token.usd_femto * (PPB + offset * token.volatility_percent // 100) // PPB
        self._worth[token.mint] = (slot, worth)
        return worth

    def distance_ppb(self, x: Token, y: Token, slot: int) -> int:
        """Return how much more the last venue pays for X than the first one does; negative when it pays less."""
        pair = f"{x.symbol}/{y.symbol}"
        # Half an epoch at most: a new chain's first half hour is free of drifts.
        epoch, position = divmod(slot + self._knot(f"phase {pair}", 0) % (_EPOCH_SLOTS // 2), _EPOCH_SLOTS)
        now = self._distance(pair, epoch)
        drifted = position - (_EPOCH_SLOTS - _DRIFT_SLOTS)
        if drifted <= 0:
            return now
        return now + (self._distance(pair, epoch + 1) - now) * drifted // _DRIFT_SLOTS

    def _distance(self, pair: str, epoch: int) -> int:
        drawn = self._knot(f"distance {pair}", epoch)
        distance = _LEAST_DISTANCE_PPB + (drawn >> 1) % (_LARGEST_DISTANCE_PPB - _LEAST_DISTANCE_PPB + 1)
        return distance if drawn & 1 else -distance

    def _noise(self, symbol: str, octave: int, slot: int) -> int:
        period, reach = _OCTAVES[octave]
        index, passed = divmod(slot, period)
        kind = f"worth {symbol} {octave}"
        before = self._knot(kind, index) % (2 * reach + 1) - reach
        after = self._knot(kind, index + 1) % (2 * reach + 1) - reach
        return before + (after - before) * passed // period

    def _hash(self, kind: str, number: int) -> int:
        return int.from_bytes(blake2b(f"{self._seed}|{kind}|{number}".encode(), digest_size=8).digest())
