"""Raydium's constant product pools."""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from mockdex.curves.book import AmountTooSmall, Depth, Fill, InsufficientLiquidity, Venue

FEE_NUMERATOR = 25
FEE_DENOMINATOR = 10_000


def swap(reserve_in: int, reserve_out: int, amount_in: int) -> tuple[int, int]:
    """Return fee and amount out (raydium-amm, `processor.rs` and `math.rs`: process_swap_base_in).

    fee = ceil(in * 25 / 10000), net = in - fee, out = floor(R_out * net / (R_in + net))
    """
    fee = -(-amount_in * FEE_NUMERATOR // FEE_DENOMINATOR)
    net = amount_in - fee
    return fee, reserve_out * net // (reserve_in + net)


class RaydiumBook(NamedTuple):
    """The reserves of a pool."""

    reserve_x: int
    reserve_y: int

    def fill(self, amount_in: int, *, x_to_y: bool) -> Fill:
        """Work out a swap; raise InsufficientLiquidity if it brings more than the pool has, or is paid nothing."""
        reserve_in, reserve_out = (self.reserve_x, self.reserve_y) if x_to_y else (self.reserve_y, self.reserve_x)
        if amount_in > reserve_in:
            raise InsufficientLiquidity("the amount is beyond the pool's depth")
        fee, amount_out = swap(reserve_in, reserve_out, amount_in)
        if amount_out == 0:
            raise AmountTooSmall("the amount is too small to be paid for")
        shift = (amount_in, -amount_out) if x_to_y else (-amount_out, amount_in)
        return Fill(amount_in, fee, amount_out, (reserve_out, reserve_in), shift)

    def describe(self) -> dict[str, object]:
        """Describe the reserves, in base units."""
        return {
            "reserveX": str(self.reserve_x),
            "reserveY": str(self.reserve_y),
            "tradeFeeNumerator": FEE_NUMERATOR,
            "tradeFeeDenominator": FEE_DENOMINATOR,
        }


class RaydiumCurve:
    """A pool of constant liquidity: the product of the reserves where it rests never changes."""

    def __init__(self, depth: Depth) -> None:
        self._product = depth.x * depth.y

    def book(self, price_q64: int, displacement: tuple[int, ...]) -> RaydiumBook:
        """Return the reserves at a price: R_y = sqrt(k * price), R_x = k / R_y, both displaced."""
        rest_y = isqrt(self._product * price_q64 >> 64)
        rest_x = self._product // rest_y
        moved_x, moved_y = displacement or (0, 0)
        return RaydiumBook(max(rest_x + moved_x, 1), max(rest_y + moved_y, 1))


VENUE = Venue("raydium", "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8", RaydiumCurve)
