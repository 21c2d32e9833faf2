"""Counting hits in Redis for all api processes together, and never waiting for a Redis that is away."""

import asyncio
import logging
from typing import Any

import redis.asyncio as redis
from limits.aio.storage import RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine_common.live import TROUBLE

log = logging.getLogger(__name__)

# Seconds.
_ANSWER_WITHIN_S = 0.1
# An answer that came while this process was busy is read within so much more: that is no fault of Redis.
_READ_WITHIN_S = 0.03
# Never waited for, as what takes so long was given up long before.
_SOCKET_WITHIN_S = 1.0
_AWAY_FOR_S = 1.0
_COMPLAIN_EVERY_S = 60.0

_TOGETHER = 8
_PREFIX = "ratelimit"


class _Group:
    """Hits of one window that are counted together."""

    __slots__ = ("amount", "counted", "expiry_s")

    def __init__(self, expiry_s: int, counted: asyncio.Future[int | None]) -> None:
        self.amount = 0
        self.expiry_s = expiry_s
        self.counted = counted


class Tally:
    """Counts hits of windows; those that come while a count is under way go into the next one together."""

    def __init__(self, redis_url: str) -> None:
        self._pool: Any = redis.ConnectionPool.from_url(
            redis_url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_SOCKET_WITHIN_S,
            socket_timeout=_SOCKET_WITHIN_S,
            socket_keepalive=True,
        )
        # The pool instead of the URL: the library repeats a URL that it does not like, with the password in it.
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=_PREFIX, **options)
        self._waiting: dict[str, _Group] = {}
        self._sender: asyncio.Task[None] | None = None
        self._missed = False
        self._away_until = 0.0
        self._silent_until = 0.0

    async def hit(self, window: str, expiry_s: int) -> int | None:
        """Return the number of the hit in its window, from 1; None while Redis is away, or late."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            return None
        group = self._waiting.get(window)
        if group is None:
            group = self._waiting[window] = _Group(expiry_s, loop.create_future())
            if self._sender is None:
                self._sender = loop.create_task(self._send())
        group.amount += 1
        number = group.amount
        # A waiter that is cancelled must not take the others' answer with it.
        counted = await asyncio.shield(group.counted)
        return None if counted is None else counted - group.amount + number

    async def close(self) -> None:
        """Count nothing more, and close the connections."""
        if self._sender is not None:
            await asyncio.wait((self._sender,), timeout=2 * _ANSWER_WITHIN_S)
        await self._pool.disconnect()

    async def _send(self) -> None:
        groups: dict[str, _Group] = {}
        try:
            while self._waiting:
                groups, self._waiting = self._waiting, {}
                await self._count_in_time(list(groups.items()))
                self._missed = False
        except TimeoutError as error:
            # Once may be anything; twice in a row is an outage.
            if self._missed:
                self._note_away(error)
            self._missed = True
        except TROUBLE as error:
            self._note_away(error)
        finally:
            self._sender = None
            waiting, self._waiting = self._waiting, {}
            for group in (*groups.values(), *waiting.values()):
                if not group.counted.done():
                    group.counted.set_result(None)

    async def _count_in_time(self, groups: list[tuple[str, _Group]]) -> None:
        """Count, or give up and raise TimeoutError."""
        counting = asyncio.create_task(self._count(groups))
        try:
            for patience_s in (_ANSWER_WITHIN_S, _READ_WITHIN_S):
                await asyncio.wait((counting,), timeout=patience_s)
                if counting.done():
                    return counting.result()
        finally:
            if counting.cancel():
                await asyncio.wait((counting,), timeout=_READ_WITHIN_S)
        raise TimeoutError

    async def _count(self, groups: list[tuple[str, _Group]]) -> None:
        for start in range(0, len(groups), _TOGETHER):
            chunk = groups[start : start + _TOGETHER]
            counts = await asyncio.gather(
                *(self._storage.incr(window, group.expiry_s, group.amount) for window, group in chunk)
            )
            for (_, group), count in zip(chunk, counts, strict=True):
                group.counted.set_result(count)

    def _note_away(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        self._away_until = now + _AWAY_FOR_S
        if now >= self._silent_until:
            self._silent_until = now + _COMPLAIN_EVERY_S
            log.warning(
                "rate limits are not applied while Redis does not answer: %s", str(error) or "no answer in time"
            )
