"""Brings updates to all sockets of the process: from Redis as long as it is heard, from PostgreSQL otherwise."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum, auto

from engine_api.streams.catching_up import CatchingUp
from engine_api.streams.follower import Follower
from engine_api.streams.mailbox import Update
from engine_api.streams.subscriber import Subscriber
from engine_common.store.pool import TROUBLE

log = logging.getLogger(__name__)

# Seconds. Everything is read now and then even while Redis is heard: a worker that was killed between a commit and its
# message has told nobody.
_READ_UNHEARD_EVERY_S = 1.0
_READ_ALL_EVERY_S = 5.0

# Seconds for others to be confirmed too, when one channel is and has to be read once more.
_GATHER_S = 0.02


class _State(Enum):
    AWAITED = auto()  # new; its followers wait for the confirmation
    HEARD = auto()  # every message comes
    READ = auto()  # not heard: read every second
    JOINED = auto()  # heard again, and to be read once more for what was missed before


@dataclass(slots=True, eq=False)
class _Channel:
    followers: set[Follower] = field(default_factory=set[Follower])
    state: _State = _State.AWAITED
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self, state: _State) -> None:
        self.state = state
        self.settled.set()


class Hub:
    """Knows all followers of the process."""

    def __init__(self, redis_url: str, catching_up: CatchingUp) -> None:
        self._subscriber = Subscriber(redis_url, self)
        self._catching_up = catching_up
        self._channels: dict[str, _Channel] = {}
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Bring updates until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscriber.run())
            tasks.create_task(self._read_now_and_then())

    @contextlib.asynccontextmanager
    async def following(self, follower: Follower) -> AsyncGenerator[None]:
        """Bring the follower all updates of its channel that are committed from now on, each sooner or later."""
        channel = self._join(follower)
        try:
            await channel.settled.wait()
            yield
        finally:
            self._leave(follower)

    def _join(self, follower: Follower) -> _Channel:
        channel = self._channels.get(follower.channel)
        if channel is None:
            channel = self._channels[follower.channel] = _Channel()
            self._subscriber.subscribe(follower.channel)
            if self._subscriber.hears(follower.channel):
                channel.settle(_State.HEARD)
            elif self._subscriber.away:
                channel.settle(_State.READ)
        channel.followers.add(follower)
        return channel

    def _leave(self, follower: Follower) -> None:
        followers = self._channels[follower.channel].followers
        followers.discard(follower)
        if not followers:
            del self._channels[follower.channel]
            self._subscriber.unsubscribe(follower.channel)

    def received(self, channel: str, payload: bytes) -> None:
        """Pass a message on to the channel's followers."""
        if channel not in self._channels:
            return
        try:
            update = Update.parse(payload)
        except ValueError as error:
            log.warning("a message on %s was left out: %s", channel, error)
            return
        for follower in self._channels[channel].followers:
            follower.mailbox.put(update)

    def confirmed(self, channel: str) -> None:
        """Let the channel's followers begin, or go on without being read for."""
        known = self._channels.get(channel)
        if known is None:
            return
        if known.state is _State.AWAITED:
            known.settle(_State.HEARD)
        elif known.state is _State.READ:
            known.state = _State.JOINED
            self._hurry.set()

    def lost(self) -> None:
        """Read for everybody from now on."""
        for channel in self._channels.values():
            channel.settle(_State.READ)

    async def _read_now_and_then(self) -> None:
        loop = asyncio.get_running_loop()
        all_read_at = loop.time()
        fails = False
        while True:
            await self._pause()
            everybody = loop.time() - all_read_at >= _READ_ALL_EVERY_S
            failed_before, fails = fails, not await self._try_to_read(everybody=everybody, quietly=fails)
            if failed_before and not fails:
                log.info("sockets read PostgreSQL again")
            if everybody and not fails:
                all_read_at = loop.time()

    async def _try_to_read(self, *, everybody: bool, quietly: bool) -> bool:
        try:
            await self._read(everybody=everybody)
        except TROUBLE as error:
            if not quietly:
                log.warning("sockets wait for PostgreSQL: %s", error)
            return False
        except Exception:
            log.exception("sockets could not be read for")
            return False
        return True

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READ_UNHEARD_EVERY_S):
                await self._hurry.wait()
                await asyncio.sleep(_GATHER_S)
        self._hurry.clear()

    async def _read(self, *, everybody: bool) -> None:
        chosen = [
            channel for channel in self._channels.values() if everybody or channel.state in (_State.READ, _State.JOINED)
        ]
        joined = [channel for channel in chosen if channel.state is _State.JOINED]
        if not chosen:
            return
        complete = await self._catching_up.read([follower for channel in chosen for follower in channel.followers])
        for channel in joined:
            if complete and channel.state is _State.JOINED:
                channel.state = _State.HEARD
