"""Whether the process, and what it depends on, is there."""

import asyncio
import logging

import redis.asyncio as redis

from engine_api.order_book import Lend
from engine_common import live
from engine_common.store import statements
from engine_common.store.pool import TROUBLE

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 1.5


class Health:
    """Asks the dependencies how they are; says "up" or "down" of each."""

    def __init__(self, lend: Lend, client: "redis.Redis") -> None:
        self._lend = lend
        self._redis = client

    async def postgres(self) -> dict[str, str]:
        """Tell whether orders can be stored."""
        return {"postgres": _word(await self._postgres_answers())}

    async def everything(self) -> dict[str, str]:
        """Tell how all dependencies are."""
        postgres, cache = await asyncio.gather(self._postgres_answers(), self._redis_answers())
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
                await self._redis.execute_command("PING")
        except (TimeoutError, *live.TROUBLE):
            return False
        return True


def _word(up: bool) -> str:
    return "up" if up else "down"
