"""How many orders wait to be executed, and the bound beyond which no more are taken."""

import asyncio
import contextlib
import logging
from collections.abc import Generator

from engine_api.order_book import Lend
from engine_api.problems import OVERLOADED, Refusal
from engine_common.store import reading
from engine_common.store.pool import TROUBLE

log = logging.getLogger(__name__)

_COUNT_EVERY_S = 1.0
# Seconds; a backlog at its bound is worked off at hundreds of orders a second, so there is room again soon.
_RETRY_AFTER_S = 5


class Backlog:
    """Counts the unfinished orders in PostgreSQL once a second, and in between those that this process takes.

    Other api processes' orders are seen by the next count: the bound may be exceeded by what they take in a second.
    """

    def __init__(self, lend: Lend, bound: int) -> None:
        self._lend = lend
        self._bound = bound
        self._counted = 0
        self._admitted = 0
        self._settled = 0
        # Of those admitted, how many were certainly in the last count.
        self._in_count = 0

    @property
    def bound(self) -> int:
        """How many unfinished orders there may be."""
        return self._bound

    @property
    def unfinished(self) -> int:
        """How many there are, as far as this process knows; beyond the bound PostgreSQL is not asked to count."""
        return self._counted + self._admitted - self._in_count

    @property
    def full(self) -> bool:
        """Whether no further order is taken."""
        return self.unfinished >= self._bound

    def check(self) -> None:
        """Raise Refusal when the backlog is full."""
        if self.full:
            raise Refusal(
                OVERLOADED,
                f"{self._bound} orders are waiting or being executed, and no more are taken; nothing was stored",
                headers={"retry-after": str(_RETRY_AFTER_S)},
            )

    @contextlib.contextmanager
    def admitting(self) -> Generator[None]:
        """Take one more order that is to be executed, and is being stored meanwhile. Raises Refusal."""
        self.check()
        self._admitted += 1
        try:
            yield
        finally:
            self._settled += 1

    async def run(self) -> None:
        """Count for ever, whatever becomes of a single count: without the next one the bound would stick."""
        while True:
            try:
                await self.count()
            except Exception:
                log.exception("the backlog was not counted")
            await asyncio.sleep(_COUNT_EVERY_S)

    async def count(self) -> None:
        """Count once; while PostgreSQL is away the last count stands, and nothing can be stored anyway."""
        # What is being stored right now may be in the count or not: it is added, so that the bound holds.
        settled = self._settled
        try:
            async with self._lend() as connection:
                counted = await reading.count_unfinished(connection, at_most=self._bound)
        except TROUBLE as error:
            log.debug("the backlog was not counted: %s", error)
            return
        self._counted, self._in_count = counted, settled
