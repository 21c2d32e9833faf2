"""Whether the process, and what it depends on, is there."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import redis.asyncio as redis

from engine_api.order_book import Lend
from engine_common import live
from engine_common.store import statements
from engine_common.store.pool import TROUBLE

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 1.5


class _Shared:
    """A question that is under way at most once: who asks meanwhile gets the same answer.

    Probes need no key, so anybody may ask any number of times.
    """

    def __init__(self, question: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._question = question
        self._under_way: asyncio.Task[bool] | None = None

    async def ask(self) -> bool:
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._question())
        return await asyncio.shield(self._under_way)


class Health:
    """Asks the dependencies how they are; says "up" or "down" of each."""

    def __init__(self, lend: Lend, client: "redis.Redis") -> None:
        self._lend = lend
        self._redis = client
        self._postgres = _Shared(self._postgres_answers)
        self._cache = _Shared(self._redis_answers)

    async def postgres(self) -> dict[str, str]:
        """Tell whether orders can be stored."""
        return {"postgres": _word(await self._postgres.ask())}

    async def everything(self) -> dict[str, str]:
        """Tell how all dependencies are."""
        postgres, cache = await asyncio.gather(self._postgres.ask(), self._cache.ask())
        return {"postgres": _word(postgres), "redis": _word(cache)}

    async def _postgres_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S), self._lend() as connection:
                await connection.execute(statements.PING)
        except (TimeoutError, *TROUBLE):
            return False
        return True

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await self._ping()
        except (TimeoutError, *live.TROUBLE):
            return False
        return True

    async def _ping(self) -> None:
        try:
            await self._redis.execute_command("PING")
        except live.TROUBLE:  # a connection that died while it was idle fails whoever comes first
            await self._redis.execute_command("PING")


def _word(up: bool) -> str:
    return "up" if up else "down"
