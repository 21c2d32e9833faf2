"""Whether the process, and what it depends on, is there."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import psycopg
import redis.asyncio as redis

from engine_api.order_book import Lend
from engine_common import live
from engine_common.store import statements
from engine_common.store.pool import TROUBLE, Connection, Pool

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 1.5
_READ_ONLY = "PostgreSQL takes no writes: it is a standby, or default_transaction_read_only is on"


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
    """Asks the dependencies how they are; says "up" or "down" of each, and why PostgreSQL is down.

    PostgreSQL is up when this version's schema is there and takes writes. `pools` reconnect when it does not:
    the host name may resolve to another server by now.
    """

    def __init__(self, lend: Lend, client: "redis.Redis", pools: Sequence[Pool] = ()) -> None:
        self._lend = lend
        self._pools = pools
        self._said = ""
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
                reason = await _unfit(connection)
        except (TimeoutError, *TROUBLE):
            return False
        if reason == _READ_ONLY:
            for pool in self._pools:
                await pool.drain()
        if reason != self._said:
            self._said = reason
            if reason:
                log.error("not ready: %s", reason)
            else:
                log.info("ready again: PostgreSQL takes orders")
        return not reason

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


async def _unfit(connection: Connection) -> str:
    """Return why no order can be stored there; nothing when one can."""
    try:
        cursor = await connection.execute(statements.READ_READINESS)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as error:
        missing = str(error).splitlines()[0]
        return f"the database's schema is not this version's ({missing}): run python -m engine_common.migrate"
    except psycopg.errors.InsufficientPrivilege as error:
        return f"the role of DATABASE_URL lacks rights ({error}): let it be the tables' owner, or grant it their use"
    writable, permitted = await cursor.fetchone() or (False, False)
    if not writable:
        return _READ_ONLY
    return "" if permitted else "the role of DATABASE_URL may not insert or update orders: grant it that"


def _word(up: bool) -> str:
    return "up" if up else "down"
