"""When which faults happen, drawn from one integer: the same seed and options give the same schedule."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.kinds import Fault, Kind, Topology

_QUIET_AT_START_S = 2.0
_CALM_S = (0.8, 2.4)  # from the end of one moment's faults to the next moment
_LONE = 0.6
_TOGETHER_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault and its time: seconds since the load began."""

    at_s: float
    fault: Fault

    def __str__(self) -> str:
        return f"{self.at_s:8.2f} s  {self.fault}"


def draw(seed: int, duration_s: float, topology: Topology, kinds: Sequence[Kind]) -> list[Injection]:
    """Draw the faults of a run: moments with one fault or with two or three that overlap, and calm between them.

    Kinds are dealt like cards, so each comes once before any comes again.
    """
    rng = random.Random(seed)
    deck = _Deck(rng, kinds)
    schedule: list[Injection] = []
    at_s = _QUIET_AT_START_S
    while at_s < duration_s:
        together = list(_moment(rng, deck, topology, at_s))
        ends_s = max(each.at_s + each.fault.seconds for each in together)
        if ends_s > duration_s and schedule:
            break
        schedule += together
        at_s = ends_s + rng.uniform(*_CALM_S)
    return sorted(schedule, key=lambda each: each.at_s)


def _moment(rng: random.Random, deck: "_Deck", topology: Topology, at_s: float) -> Iterator[Injection]:
    count = 1 if rng.random() < _LONE else rng.choice((2, 3))
    befallen: set[str] = set()
    for index in range(count):
        fault = deck.deal().draw(rng, topology)
        if fault.victim in befallen:  # one at a time for each victim: the end of one would end the other
            deck.put_back(fault.kind)
            continue
        befallen.add(fault.victim)
        yield Injection(round(at_s + (rng.uniform(0, _TOGETHER_WITHIN_S) if index else 0.0), 2), fault)


class _Deck:
    def __init__(self, rng: random.Random, kinds: Sequence[Kind]) -> None:
        self._rng = rng
        self._kinds = kinds
        self._left: list[Kind] = []

    def deal(self) -> Kind:
        if not self._left:
            self._left = list(self._kinds)
            self._rng.shuffle(self._left)
        return self._left.pop()

    def put_back(self, kind: Kind) -> None:
        self._left.insert(0, kind)
