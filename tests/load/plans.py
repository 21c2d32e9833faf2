"""What the client is going to do with each order, drawn from one name."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

WALLET = "followed"

# Display units of a token: swaps so small that no run moves the mock's pools noticeably.
_AMOUNTS = {
    "SOL": (0.05, 2),
    "USDC": (5, 300),
    "USDT": (5, 300),
    "JUP": (10, 400),
    "RAY": (2, 100),
    "BONK": (200_000, 10_000_000),
}
ROOMY_BPS = 100
_UNREACHABLE_FLOOR = "900000000"


class Way(Enum):
    """How an order is brought to its execution, or away from it."""

    AT_ONCE = "created and executed in one request"
    IN_TWO_STEPS = "created, then executed"
    CANCELLED_PENDING = "created, then cancelled"
    CANCELLED = "created and executed, then cancelled if it is not too late"


_WAYS = {Way.AT_ONCE: 75, Way.IN_TWO_STEPS: 12, Way.CANCELLED_PENDING: 3, Way.CANCELLED: 10}


@dataclass(frozen=True, slots=True)
class Plan:
    """One order to place."""

    key: str
    way: Way
    body: dict[str, object]
    followed: bool
    repeated: bool  # sent once more after it was accepted
    pause_s: float = field(default=0.0)  # before the second step


def plans(name: str) -> Iterator[Plan]:
    """Yield plans without end, drawn from their name, which begins their keys."""
    rng = random.Random(f"plans of {name}")
    number = 0
    while True:
        number += 1
        way = rng.choices(list(_WAYS), weights=list(_WAYS.values()))[0]
        yield Plan(
            key=f"{name}-{number}",
            way=way,
            body=_body(rng, number),
            followed=rng.random() < 0.2,
            repeated=rng.random() < 0.05,
            pause_s=rng.choice((0.0, rng.uniform(0.0, 0.8))),
        )


def _body(rng: random.Random, number: int) -> dict[str, object]:
    token_in, token_out = rng.sample(list(_AMOUNTS), 2)
    body: dict[str, object] = {
        "tokenIn": token_in,
        "tokenOut": token_out,
        "amountIn": f"{rng.uniform(*_AMOUNTS[token_in]):.3f}",
        "slippageBps": rng.choices((ROOMY_BPS, 10, 0), weights=(85, 10, 5))[0],
        "userWallet": WALLET if rng.random() < 0.1 else f"wallet-{number % 50}",
    }
    if rng.random() < 0.01:
        body["minAmountOut"] = _UNREACHABLE_FLOOR
    return body
