"""Random decisions: each one a hash of (seed, kind, venue, its number within the kind), never one shared generator."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mockdex.tuning import Tuning

_SPAN = 1 << 64


class Faults:
    """Draws faults and latencies."""

    def __init__(self, seed: int, tuning: Tuning, drawn: dict[str, int] | None = None) -> None:
        self._seed = seed
        self._tuning = tuning
        self.drawn = drawn if drawn is not None else {}
        """how many decisions of each kind and venue were drawn: kept with the chain, so that a restart goes on"""

    def strikes(self, rate: str, venue: str = "") -> bool:
        """Tell whether a fault happens now; a rate of 0 draws nothing."""
        share = self._tuning.value(rate, venue)
        return share > 0 and self.draw(rate, venue) < share * _SPAN

    def delay_ms(self, delay: str, venue: str) -> int:
        """Return the latency of a call: the set one, 20 % more or less; 0 stays 0."""
        middle = int(self._tuning.value(delay, venue))
        return middle * (800 + self.draw(delay, venue) % 401) // 1000 if middle else 0

    def draw(self, kind: str, venue: str = "") -> int:
        """Return the next number of a kind, uniform in [0, 2**64)."""
        counter = f"{kind}|{venue}"
        number = self.drawn.get(counter, 0)
        self.drawn[counter] = number + 1
        return int.from_bytes(blake2b(f"{self._seed}|{counter}|{number}".encode(), digest_size=8).digest())
