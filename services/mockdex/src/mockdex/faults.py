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
        share = self._share(rate, venue)
        return share > 0 and self.draw(rate, venue) < share * _SPAN

    def marks(self, rate: str, name: str) -> bool:
        """Tell whether a fault holds for the thing of this name: the same whenever it is asked, while the rate is."""
        share = self._share(rate)
        return share > 0 and _number(f"{self._seed}|{rate}|{name}") < share * _SPAN

    def _share(self, rate: str, venue: str = "") -> float:
        return float(self._tuning.value(rate, venue))

    def delay_ms(self, delay: str, venue: str) -> int:
        """Return the latency of a call: the set one, 20 % more or less; 0 stays 0."""
        middle = int(self._tuning.value(delay, venue))
        return middle * (800 + self.draw(delay, venue) % 401) // 1000 if middle else 0

    def draw(self, kind: str, venue: str = "") -> int:
        """Return the next number of a kind, uniform in [0, 2**64)."""
        counter = f"{kind}|{venue}"
        number = self.drawn.get(counter, 0)
        self.drawn[counter] = number + 1
        return _number(f"{self._seed}|{counter}|{number}")


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
