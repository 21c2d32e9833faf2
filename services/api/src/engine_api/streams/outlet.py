"""Sending a socket its updates, in order and without gaps."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from engine_api.streams.follower import Follower
from engine_api.streams.hub import Hub
from engine_api.streams.mailbox import Update
from engine_api.streams.missed_events import MissedEvents
from engine_common.orders import Event
from engine_common.store.pool import TROUBLE

_REPEAT_AFTER_S = 1.0

SendText = Callable[[str], Awaitable[None]]


class TooSlow(Exception):
    """The client reads so slowly that its updates do not fit the socket's mailbox."""


class Outlet:
    """Where the updates of one follower leave."""

    def __init__(self, send_text: SendText, hub: Hub, missed: MissedEvents) -> None:
        self._send_text = send_text
        self._hub = hub
        self._missed = missed

    @asynccontextmanager
    async def opened(self, follower: Follower) -> AsyncGenerator[None]:
        """Follow; whatever is under way in this task is given up as soon as the follower's mailbox overflows.

        Raises TooSlow.
        """
        task = asyncio.current_task()
        if task is not None:
            follower.mailbox.on_overflow = task.cancel
        try:
            async with self._hub.following(follower):
                yield
        except asyncio.CancelledError:
            if not follower.mailbox.overflowed:
                raise
            raise TooSlow("updates come faster than they are read") from None

    async def send(self, follower: Follower, updates: Iterable[Update]) -> None:
        """Send the updates as they are."""
        for update in updates:
            await self._send_text(update.message)
            follower.progress.advance(update)

    async def forward(self, follower: Follower) -> None:
        """Send what comes next, and before it what was missed."""
        update = await follower.mailbox.get()
        follower.meet(update.order_id)
        await self.send(follower, await follower.progress.due(update, self._read_missed))

    async def _read_missed(self, order_id: UUID, after: int, heard: int) -> Sequence[Event]:
        """Read what comes after; as long as PostgreSQL is away the socket waits."""
        while True:
            try:
                return await self._missed.read(order_id, after, heard)
            except TROUBLE:
                await asyncio.sleep(_REPEAT_AFTER_S)
