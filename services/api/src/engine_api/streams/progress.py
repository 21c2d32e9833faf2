"""How far a socket has come with each order, and the rule that follows: every event once, in order, without gaps."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from engine_api.streams.mailbox import Update
from engine_common.orders import Event

# Seconds for which a finished order is still known, so that a late copy of its events is not taken for a new order.
_REMEMBER_FINISHED_S = 30.0

# The order, the `seq` after which, and the one that was heard.
ReadMissed = Callable[[UUID, int, int], Awaitable[Sequence[Event]]]


class Progress:
    """The last `seq` that a socket was sent of each order that is not finished for it."""

    def __init__(self) -> None:
        self.positions: dict[UUID, int] = {}
        self._finished: set[UUID] = set()
        self._finished_at: deque[tuple[float, UUID]] = deque()

    def knows(self, order_id: UUID) -> bool:
        """Tell whether the socket was sent events of the order, its last one included."""
        return order_id in self.positions or order_id in self._finished

    def advance(self, update: Update) -> None:
        """Note that the socket was sent the update."""
        if not update.terminal:
            self.positions[update.order_id] = update.seq
            return
        self.positions.pop(update.order_id, None)
        self._finished.add(update.order_id)
        self._finished_at.append((time.monotonic(), update.order_id))

    def forget_finished(self) -> None:
        """Drop what finished long enough ago."""
        before = time.monotonic() - _REMEMBER_FINISHED_S
        while self._finished_at and self._finished_at[0][0] < before:
            self._finished.discard(self._finished_at.popleft()[1])

    async def due(self, update: Update, read_missed: ReadMissed) -> Sequence[Update]:
        """Return what is to be sent now that the update has come: nothing, the update, or all that was missed.

        An order that is not known begins with whatever comes first; one that is new is known, at 0.
        """
        if update.order_id in self._finished:
            return ()
        last = self.positions.get(update.order_id)
        if last is None or update.seq == last + 1:
            return (update,)
        if update.seq <= last:
            return ()
        return [Update.of(event) for event in await read_missed(update.order_id, last, update.seq)]
