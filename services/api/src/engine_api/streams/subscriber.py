"""The process's one Redis connection for live events; of every channel it is known whether it is heard."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

# Seconds.
_CONNECT_WITHIN_S = 1.0
_PING_EVERY_S = 1.0
_SILENCE_MEANS_AWAY_S = 3.0
_RECONNECT_AFTER_S = 0.5

# Names in one command, and messages before others have their turn.
_MAX_NAMES = 1000
_TURN = 100


class Listener(Protocol):
    """Who hears of what comes."""

    def received(self, channel: str, payload: bytes) -> None:
        """Take a message of the channel."""

    def confirmed(self, channel: str) -> None:
        """Hear that from now on every message of the channel comes."""

    def lost(self) -> None:
        """Hear that no channel is heard any more; each will be confirmed again."""


def _client(redis_url: str) -> "redis.Redis":
    # No retries: a connection that comes back by itself would hide that messages were missed meanwhile. RESP2, because
    # redis-py writes every pushed message of RESP3 out as text for its debug log.
    return redis.Redis.from_url(
        redis_url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=_CONNECT_WITHIN_S,
        socket_timeout=_CONNECT_WITHIN_S,
        socket_keepalive=True,
    )


class Subscriber:
    """Keeps subscriptions over a connection that may break at any time.

    A subscription that is taken back and asked for again is heard from the last confirmation that is outstanding, not
    from an earlier one.
    """

    def __init__(self, redis_url: str, listener: Listener) -> None:
        self._client = _client(redis_url)
        self._listener = listener
        self._wanted: set[str] = set()
        self._changes: dict[str, bool] = {}  # to be sent: subscribe or unsubscribe
        self._asked: set[str] = set()  # what the commands sent so far amount to
        self._outstanding: Counter[str] = Counter()  # confirmations that have not come yet
        self._confirmed: set[str] = set()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self.away = False

    def hears(self, channel: str) -> bool:
        """Tell whether every message of the channel comes."""
        return channel in self._confirmed

    def subscribe(self, channel: str) -> None:
        """Ask for the channel's messages; `confirmed` tells from when on they come, unless hears() does already."""
        self._wanted.add(channel)
        self._change(channel, subscribe=True)

    def unsubscribe(self, channel: str) -> None:
        """Ask for no more messages of the channel."""
        self._wanted.discard(channel)
        self._change(channel, subscribe=False)

    def _change(self, channel: str, *, subscribe: bool) -> None:
        if self._changes.get(channel) is (not subscribe):
            del self._changes[channel]  # the opposite was not sent yet, so nothing has to be
        else:
            self._changes[channel] = subscribe
            self._changed.set()

    async def run(self) -> None:
        """Connect, and connect again whenever the connection breaks."""
        try:
            while True:
                await self._connected()
                self._asked.clear()
                self._outstanding.clear()
                self._confirmed.clear()
                self._changes = dict.fromkeys(self._wanted, True)
                self._listener.lost()
                await asyncio.sleep(_RECONNECT_AFTER_S)
        finally:
            await self._client.aclose()

    async def _connected(self) -> None:
        """Serve one connection until it breaks."""
        connection: Any = self._client.connection_pool.make_connection()
        try:
            with _closing_foreseen():
                await connection.connect()
            self._note_away(away=False)
            self._heard_at = asyncio.get_running_loop().time()
            self._changed.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection))
                tasks.create_task(self._write(connection))
                tasks.create_task(self._watch(connection))
        except* (RedisError, OSError) as errors:
            self._note_away(away=True, reason=errors.exceptions[0])
        except* Exception as errors:  # whatever it was, sockets go on from PostgreSQL
            log.exception("the connection for live events failed", exc_info=errors)
            self._note_away(away=True, reason=errors.exceptions[0])
        finally:
            await connection.disconnect(nowait=True)

    def _note_away(self, *, away: bool, reason: BaseException | None = None) -> None:
        if away and not self.away:
            log.warning("no live events from Redis, sockets read PostgreSQL meanwhile: %s", reason)
        elif self.away and not away:
            log.info("live events come from Redis again")
        self.away = away

    async def _read(self, connection: Any) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(_TURN):
                self._take(await connection.read_response(timeout=math.inf, disconnect_on_error=False))
                self._heard_at = loop.time()
            await asyncio.sleep(0)

    def _take(self, reply: Any) -> None:
        match reply:
            case [b"message", bytes(channel), bytes(payload)]:
                self._listener.received(channel.decode(), payload)
            case [b"subscribe", bytes(channel), _]:
                self._confirm(channel.decode())
            case _:  # a pong, or the end of a subscription
                pass

    def _confirm(self, channel: str) -> None:
        self._outstanding[channel] -= 1
        if self._outstanding[channel] <= 0:
            del self._outstanding[channel]
            if channel in self._asked:
                self._confirmed.add(channel)
                self._listener.confirmed(channel)

    async def _write(self, connection: Any) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            changes, self._changes = self._changes, {}
            leaving = [channel for channel, subscribe in changes.items() if not subscribe]
            joining = [channel for channel, subscribe in changes.items() if subscribe]
            self._asked.difference_update(leaving)
            self._confirmed.difference_update(leaving)
            self._asked.update(joining)
            self._outstanding.update(joining)
            await _name(connection, "UNSUBSCRIBE", leaving)
            await _name(connection, "SUBSCRIBE", joining)

    async def _watch(self, connection: Any) -> None:
        """Notice a peer that is gone without a word."""
        loop = asyncio.get_running_loop()
        while True:
            await _send(connection, "PING")
            await asyncio.sleep(_PING_EVERY_S)
            if loop.time() - self._heard_at > _SILENCE_MEANS_AWAY_S:
                raise TimeoutError(f"Redis has been silent for {_SILENCE_MEANS_AWAY_S:.0f} s")


async def _name(connection: Any, command: str, channels: list[str]) -> None:
    for start in range(0, len(channels), _MAX_NAMES):
        await _send(connection, command, *channels[start : start + _MAX_NAMES])


async def _send(connection: Any, command: str, *names: str) -> None:
    with _closing_foreseen():
        await connection.send_command(command, *names)


@contextmanager
def _closing_foreseen() -> Generator[None]:
    """Let a connection that closes in the moment of writing be lost like any other: uvloop raises RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
