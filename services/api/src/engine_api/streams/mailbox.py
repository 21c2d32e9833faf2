"""What waits for one socket: updates on their way out, bounded in memory."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from engine_common.orders import Event, event_json
from engine_common.transitions import TERMINAL

# Of messages that a socket was not yet sent; what the kernel buffers for it comes on top.
CAPACITY_BYTES = 1024 * 1024

_OVERHEAD_BYTES = 200


class Update(NamedTuple):
    """An event on its way to sockets; `message` is the event object of the public interface."""

    order_id: UUID
    seq: int
    terminal: bool
    message: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the update that tells of the event."""
        return cls(event.order_id, event.seq, event.status in TERMINAL, event_json(event).decode())

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Return the update that was published; raise ValueError when the payload is no event."""
        document: Any = orjson.loads(payload)
        try:
            terminal = document["status"] in TERMINAL
            return cls(UUID(document["orderId"]), int(document["seq"]), terminal, payload.decode())
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an event: {error}") from None


class Mailbox:
    """A queue of updates for one reader; the one that does not fit ends it, and tells the reader's owner."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._updates: deque[Update] = deque()
        self._capacity = capacity_bytes
        self._size = 0
        self._arrived = asyncio.Event()
        self.overflowed = False
        self.on_overflow: Callable[[], object] = lambda: None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._updates

    @property
    def roomy(self) -> bool:
        """Whether more than half of the room is left: for what can as well be put in later."""
        return self._size < self._capacity // 2

    def put(self, update: Update) -> None:
        """Add the update, or end the mailbox when there is no room."""
        if self.overflowed:
            return
        self._size += _weight(update)
        if self._size > self._capacity:
            self.overflowed = True
            self._updates.clear()
            self.on_overflow()
            return
        self._updates.append(update)
        self._arrived.set()

    async def get(self) -> Update:
        """Wait for the next update and take it out."""
        while not self._updates:
            self._arrived.clear()
            await self._arrived.wait()
        update = self._updates.popleft()
        self._size -= _weight(update)
        return update


def _weight(update: Update) -> int:
    return len(update.message) + _OVERHEAD_BYTES
