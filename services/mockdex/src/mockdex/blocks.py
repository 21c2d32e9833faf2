"""Blocks: labels of so many milliseconds of chain time each, with a blockhash and a slot."""

from __future__ import annotations

from hashlib import sha256
from time import monotonic_ns
from typing import TYPE_CHECKING

from solders.hash import Hash

if TYPE_CHECKING:
    from collections.abc import Callable

GENESIS_HEIGHT = 1
# As on Solana a slot's number is larger than the height of the block in it, so that mixing them up shows.
SLOTS_AHEAD_OF_HEIGHT = 1_000


def slot_of(height: int) -> int:
    """Return the slot of the block at a height."""
    return height + SLOTS_AHEAD_OF_HEIGHT


def monotonic_ms() -> int:
    """Return a time in ms that never goes back within a process."""
    return monotonic_ns() // 1_000_000


class ChainTime:
    """Chain time in ms: goes on while the service runs and stands still while it does not."""

    def __init__(self, height: int, chain_ms: int, block_ms: int, clock: Callable[[], int] = monotonic_ms) -> None:
        self._base_height = height
        self._base_ms = chain_ms
        self._block_ms = block_ms
        self._clock = clock
        self._started_ms = clock()

    def now(self) -> int:
        """Return the present chain time in ms."""
        return self._base_ms + self._clock() - self._started_ms

    def height_at(self, chain_ms: int) -> int:
        """Return the height of the block that a moment belongs to."""
        return self._base_height + (chain_ms - self._base_ms) // self._block_ms

    def start_of(self, height: int) -> int:
        """Return the moment at which a block begins."""
        return self._base_ms + (height - self._base_height) * self._block_ms


class Blockhashes:
    """The blockhashes that are not too old, as hashes of (genesis, height)."""

    def __init__(self, genesis: int, valid_blocks: int) -> None:
        self._genesis = genesis
        self._valid_blocks = valid_blocks
        self._heights: dict[bytes, int] = {}
        self._newest = 0

    def advance(self, height: int) -> None:
        """Make the hashes up to a height known and forget those that are too old at it."""
        oldest = max(height - self._valid_blocks + 1, 0)
        for known in range(max(self._newest + 1, oldest), height + 1):
            self._heights[self._raw(known)] = known
        self._newest = max(self._newest, height)
        while len(self._heights) > self._valid_blocks:
            del self._heights[next(iter(self._heights))]

    def at(self, height: int) -> tuple[str, int]:
        """Return a block's hash and the last height at which a transaction with it may land."""
        return str(Hash.from_bytes(self._raw(height))), self.last_valid(height)

    def height_of(self, blockhash: bytes) -> int | None:
        """Return the height of a block by its hash; None when it is unknown or too old."""
        return self._heights.get(blockhash)

    def last_valid(self, height: int) -> int:
        """Return the last height at which a transaction with the hash of a height may land."""
        return height + self._valid_blocks - 1

    def _raw(self, height: int) -> bytes:
        return sha256(f"mockdex block {self._genesis} {height}".encode()).digest()
