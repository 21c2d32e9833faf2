"""What one hostile client does on one connection: pieces of bytes, pauses, and how it leaves."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any

from hostile.operations import Operation

BODY = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}


class Ending(Enum):
    """How the client leaves."""

    WAIT = auto()  # for an answer, or the end of the connection: the request is complete, whatever is wrong with it
    LISTEN = auto()  # for a moment, then it closes: nothing is owed to it
    HALF_CLOSE = auto()  # it sends no more, and listens until the server closes
    RESET = auto()  # in the middle of everything, with RST


@dataclass(frozen=True)
class Pause:
    """A moment in which nothing is sent, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Case:
    """One connection; `bodiless`: the answer has none, as the request's method is HEAD."""

    family: str
    pieces: tuple[bytes | Pause, ...]
    ending: Ending = Ending.WAIT
    bodiless: bool = False


@dataclass(frozen=True)
class Target:
    """What is attacked: the address, its operations, and orders that exist there."""

    host: str
    port: int
    operations: tuple[Operation, ...]
    order_ids: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, method: str, path: str, **headers: str) -> bytes:
        """Return the head of a well-formed request; underscores in names stand for hyphens."""
        named = {"host": f"{self.host}:{self.port}", **self.headers}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def post(self, path: str, body: bytes, **headers: str) -> bytes:
        """Return a well-formed request with the body."""
        given = {"content_type": "application/json", "content_length": str(len(body)), **headers}
        return self.head("POST", path, **given) + body


Family = Callable[[Random, Target], Case]


def encoded(**fields: Any) -> bytes:
    """Return an order body with these fields changed."""
    return json.dumps(BODY | fields).encode()


def noise(rng: Random, most: int = 64) -> bytes:
    """Return random bytes."""
    return rng.randbytes(rng.randint(1, most))
