"""What every venue's curve offers: the state of a pool at a moment, and what a swap against it would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_Q64 = 1 << 64


class InsufficientLiquidity(Exception):
    """The pool cannot pay for this amount."""


class AmountTooSmall(InsufficientLiquidity):
    """The pool would pay less than one base unit for this amount."""


class Fill(NamedTuple):
    """What a swap takes and pays, in base units, and how it moves the pool."""

    amount_in: int
    fee: int
    """part of amount_in, kept by the pool's owners"""
    amount_out: int
    spot: tuple[int, int]
    """price before the swap without fees, as (out, in)"""
    shift: tuple[int, ...]
    """what the swap adds to the pool's displacement from its rest"""

    @property
    def price_impact_e8(self) -> int:
        """How much worse than spot the price after fees is: (spot - exec) / spot in 1e-8, rounded down."""
        spot_out, spot_in = self.spot
        at_spot = (self.amount_in - self.fee) * spot_out
        return (at_spot - self.amount_out * spot_in) * 10**8 // at_spot


class Depth(NamedTuple):
    """How a pool starts: equal worth of both tokens, in base units, and their price."""

    x: int
    y: int
    price_q64: int
    """base units of Y for one of X, times 2**64"""


class Book(Protocol):
    """A pool at a moment."""

    def fill(self, amount_in: int, *, x_to_y: bool) -> Fill:
        """Work out a swap without executing it; raise InsufficientLiquidity."""
        ...

    def describe(self) -> dict[str, object]:
        """Describe reserves and fee parameters, as JSON with base units as strings."""
        ...


class Curve(Protocol):
    """A pool's shape: where it rests at a price, and where it is after trades have displaced it."""

    def book(self, price_q64: int, displacement: tuple[int, ...]) -> Book:
        """Return the pool at a price; an empty displacement is its rest."""
        ...


@dataclass(frozen=True, slots=True)
class Venue:
    """A DEX: its name in paths and settings, its program on the chain, and the curve of its pools."""

    name: str
    program: str
    open_curve: Callable[[Depth], Curve]
