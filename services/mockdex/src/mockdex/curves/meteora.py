"""Meteora's DLMM pools: liquidity in bins of constant price."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mockdex.curves.book import ONE_Q64, AmountTooSmall, Depth, Fill, InsufficientLiquidity, Venue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BASIS_POINTS = 10_000
FEE_SCALE = 1_000_000_000
LARGEST_FEE_RATE = FEE_SCALE // 10

BIN_STEP = 10
BASE_FACTOR = 10_000
BASE_FEE_POWER_FACTOR = 0
# Bins with liquidity on either side of where the pool rests: the depth of a pool.
BINS_A_SIDE = 70
# Prices kept on either side of the first one: the walk's whole reach and the bins beyond it.
_BINS_KNOWN = 300
_PRECISION_BITS = 192


def bin_price(bin_id: int, bin_step: int) -> int:
    """Return floor((1 + binStep / 10000) ** id * 2**64) (dlmm-sdk, `commons/src/math/price_math.rs`)."""
    square = ((BASIS_POINTS + bin_step) << _PRECISION_BITS) // BASIS_POINTS
    price = 1 << _PRECISION_BITS
    exponent = abs(bin_id)
    while exponent:
        if exponent & 1:
            price = price * square >> _PRECISION_BITS
        square = square * square >> _PRECISION_BITS
        exponent >>= 1
    if bin_id < 0:
        return (1 << (_PRECISION_BITS + 64)) // price
    return price >> (_PRECISION_BITS - 64)


def base_fee_rate(base_factor: int, bin_step: int, power_factor: int) -> int:
    """Return baseFactor * binStep * 10 * 10**powerFactor, at most 10 %, in 1e-9 (`extensions/lb_pair.rs`)."""
    return min(base_factor * bin_step * 10 * 10**power_factor, LARGEST_FEE_RATE)


@cache
def _ladder(price_q64: int) -> tuple[int, list[int]]:
    """Return the lowest bin that a pool may ever need, and the prices from there on."""
    reach = range(-20_000, 20_000)
    centre = reach[bisect_right(reach, price_q64, key=lambda bin_id: bin_price(bin_id, BIN_STEP)) - 1]
    first_id = centre - _BINS_KNOWN
    return first_id, [bin_price(first_id + offset, BIN_STEP) for offset in range(2 * _BINS_KNOWN + 1)]


class Bin(NamedTuple):
    """A bin as a swap meets it."""

    bin_id: int
    price: int
    """base units of Y for one of X, times 2**64"""
    reserve: int
    """what it can pay out, in base units"""


def swap_in_bin(current: Bin, amount_in: int, fee_rate: int, *, x_to_y: bool) -> tuple[int, int, int]:
    """Return what one bin takes (fee included), its fee and what it pays (`extensions/bin.rs`: swap).

    A full bin takes ceil(reserve / price) and on top of it the fee ceil(net * rate / (1e9 - rate)); otherwise the
    fee is ceil(in * rate / 1e9) of the input and the bin pays floor(net * price), at most its reserve.
    """
    reserve, price = current.reserve, current.price
    largest_net = -(-(reserve << 64) // price) if x_to_y else -(-reserve * price >> 64)
    largest_fee = -(-largest_net * fee_rate // (FEE_SCALE - fee_rate))
    if amount_in > largest_net + largest_fee:
        return largest_net + largest_fee, largest_fee, reserve
    fee = -(-amount_in * fee_rate // FEE_SCALE)
    net = amount_in - fee
    paid = net * price >> 64 if x_to_y else (net << 64) // price
    return amount_in, fee, min(paid, reserve)


class Crossing(NamedTuple):
    """A swap over one or more bins."""

    fee: int
    amount_out: int
    first: Bin
    last: Bin
    net_in_last: int


def swap_across(bins: Iterable[Bin], amount_in: int, fee_rate: int, *, x_to_y: bool) -> Crossing:
    """Swap through bins in the order in which they are met; raise InsufficientLiquidity when they do not suffice."""
    left, fee, paid = amount_in, 0, 0
    first = None
    for current in bins:
        first = first or current
        taken, bin_fee, bin_paid = swap_in_bin(current, left, fee_rate, x_to_y=x_to_y)
        left -= taken
        fee += bin_fee
        paid += bin_paid
        if not left:
            return Crossing(fee, paid, first, current, taken - bin_fee)
    raise InsufficientLiquidity("the amount is beyond the pool's depth")


class MeteoraBook(NamedTuple):
    """A pool whose bins all hold the same worth, so that one number, its position, says what is in every bin.

    Position p: bin p // capacity is the active one and holds p % capacity of Y; the rest of its capacity is X at the
    bin's price. Bins below hold nothing but Y, bins above nothing but X.
    """

    prices: list[int]
    first_id: int
    capacity: int
    """worth of a bin in base units of Y"""
    position: int
    rest_id: int

    def bins(self, *, x_to_y: bool) -> Iterator[Bin]:
        """List the bins that pay for a swap, in the order in which it meets them."""
        active, held_y = divmod(self.position, self.capacity)
        if x_to_y:
            for bin_id in range(active, self.rest_id - BINS_A_SIDE - 1, -1):
                reserve = held_y if bin_id == active else self.capacity
                if reserve:
                    yield Bin(bin_id, self.prices[bin_id - self.first_id], reserve)
            return
        for bin_id in range(active, self.rest_id + BINS_A_SIDE + 1):
            price = self.prices[bin_id - self.first_id]
            held_x = ((self.capacity - (held_y if bin_id == active else 0)) << 64) // price
            if held_x:
                yield Bin(bin_id, price, held_x)

    def fill(self, amount_in: int, *, x_to_y: bool) -> Fill:
        """Work out a swap; raise InsufficientLiquidity when the bins do not suffice or nothing would be paid."""
        crossing = swap_across(self.bins(x_to_y=x_to_y), amount_in, FEE_RATE, x_to_y=x_to_y)
        if crossing.amount_out == 0:
            raise AmountTooSmall("the amount is too small to be paid for")
        if x_to_y:
            shift, spot = -crossing.amount_out, (crossing.first.price, ONE_Q64)
        else:
            # Rounding leaves a crumb in each full bin; the position steps over it.
            start = max(self.position, crossing.last.bin_id * self.capacity)
            shift, spot = start + crossing.net_in_last - self.position, (ONE_Q64, crossing.first.price)
        return Fill(amount_in, crossing.fee, crossing.amount_out, spot, (shift,))

    def describe(self) -> dict[str, object]:
        """Describe the active bin, its neighbours and the fee parameters."""
        active, held_y = divmod(self.position, self.capacity)
        lowest = max(active - 10, self.rest_id - BINS_A_SIDE)
        bins: list[dict[str, object]] = []
        for bin_id in range(lowest, min(active + 10, self.rest_id + BINS_A_SIDE) + 1):
            in_y = held_y if bin_id == active else self.capacity if bin_id < active else 0
            price = self.prices[bin_id - self.first_id]
            in_x = ((self.capacity - in_y) << 64) // price
            bins.append({"id": bin_id, "priceQ64": str(price), "reserveX": str(in_x), "reserveY": str(in_y)})
        return {
            "activeId": active,
            "bins": bins,
            "binStep": BIN_STEP,
            "baseFactor": BASE_FACTOR,
            "baseFeePowerFactor": BASE_FEE_POWER_FACTOR,
        }


class MeteoraCurve:
    """A pool whose liquidity is centred where the walk is."""

    def __init__(self, depth: Depth) -> None:
        # The liquidity of a constant product pool of this depth: over one bin step it would trade half a step of it.
        self._capacity = depth.y * BIN_STEP // (2 * BASIS_POINTS)
        self._first_id, self._prices = _ladder(depth.price_q64)

    def book(self, price_q64: int, displacement: tuple[int, ...]) -> MeteoraBook:
        """Return the bins at a price, displaced; the nearer the next bin is, the more Y the active one holds."""
        last = len(self._prices) - 2 - BINS_A_SIDE
        index = min(max(bisect_right(self._prices, price_q64) - 1, BINS_A_SIDE), last)
        low, high = self._prices[index], self._prices[index + 1]
        held_y = min(max((price_q64 - low) * self._capacity // (high - low), 0), self._capacity - 1)
        rest_id = self._first_id + index
        rest = rest_id * self._capacity + held_y
        moved = displacement[0] if displacement else 0
        lowest = (rest_id - BINS_A_SIDE) * self._capacity
        highest = (rest_id + BINS_A_SIDE + 1) * self._capacity - 1
        position = min(max(rest + moved, lowest), highest)
        return MeteoraBook(self._prices, self._first_id, self._capacity, position, rest_id)


FEE_RATE = base_fee_rate(BASE_FACTOR, BIN_STEP, BASE_FEE_POWER_FACTOR)
VENUE = Venue("meteora", "LBUZKhRxPF3XUpBcjp4YzTKgLccjZhTSDM9YuVaPwxo", MeteoraCurve)
