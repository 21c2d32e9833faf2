"""Group commit: what arrives while a flush is under way is written together by the next one."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg

from engine_common.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from engine_common.store.pool import TROUBLE, TurnedReadOnly
from engine_common.telemetry import metrics, tracing
from engine_common.telemetry.tracing import TraceContext

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_commit_duration = metrics.meter().create_histogram(
    "engine.commit.duration",
    unit="s",
    description="From sending a group commit until PostgreSQL answered it",
    explicit_bucket_boundaries_advisory=_COMMIT_SECONDS,
)

_REPEAT_AFTER_S = 0.2
_EARLY_S = 0.5
_COMPLAIN_EVERY_S = 10.0


def _is_poisoned(error: Exception) -> bool:
    """Tell whether a row was refused for what it holds, so that its neighbours must not fail with it.

    By the database, or before that: what cannot be encoded, such as an integer beyond 64 bits, is never sent.
    """
    if not isinstance(error, psycopg.Error):
        return isinstance(error, (TypeError, ValueError))
    code = error.sqlstate or ""
    return code[:2] in ("22", "23") or code == "P0001"


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    """An item and the future of its result.

    `sent`: a statement with it may have been carried out; `undecided`: that of an earlier sending is not known either.
    """

    item: Item
    key: Hashable
    answer: asyncio.Future[Result]
    context: TraceContext | None
    sent: bool = False
    undecided: bool = False
    until: float = float("inf")

    @property
    def wanted(self) -> bool:
        return not self.answer.done()

    def give_up(self) -> None:
        if not self.wanted:
            return
        if self.sent:
            self.answer.set_exception(OutcomeUnknown("the statement was sent, and PostgreSQL has not answered"))
        else:
            self.answer.set_exception(StoreUnavailable("PostgreSQL cannot be reached; nothing was stored"))

    def give_up_early(self, now: float) -> None:
        """Give up when the time is nearly over: what the next statement did could be unknown when it is."""
        if self.until - now < _EARLY_S:
            self.give_up()


class GroupCommit(Generic[Item, Result]):
    """Collects items and writes them in as few statements as the traffic asks for.

    There is no timer: an idle system flushes at once, a busy one batches by itself. One flush is under way at a time,
    and a key stands in it at most once. `write` gets a connection and the items and returns one result an item, in
    order. A flush whose connection broke is repeated, as far as somebody still waits for it, until it is answered, so
    `write` must be safe to repeat.
    """

    def __init__(
        self,
        name: str,
        lend: Callable[[], AbstractAsyncContextManager[Any]],
        write: Callable[[Any, Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        key: Callable[[Item], Hashable],
        max_batch: int = 500,
        on_flush: Callable[[Sequence[Item]], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._lend = lend
        self._write = write
        self._key = key
        self._max_batch = max_batch
        self._on_flush = on_flush
        self._waiting: list[_Entry[Item, Result]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._silent_until = float("-inf")

    async def submit(self, item: Item, *, within_s: float | None = None) -> Result:
        """Return the item's result once it is committed.

        Raises StoreRefused when the database refuses the item; with `within_s`, StoreUnavailable when nothing was sent
        until then, and OutcomeUnknown when it was and no answer came.
        """
        loop = asyncio.get_running_loop()
        entry: _Entry[Item, Result] = _Entry(item, self._key(item), loop.create_future(), tracing.current())
        entry.until = float("inf") if within_s is None else loop.time() + within_s
        self._waiting.append(entry)
        if self._flusher is None:
            # In a context of its own: a flush belongs to no single trace, its span is linked to those of its items.
            self._flusher = loop.create_task(self._run(), context=contextvars.Context())
        if within_s is None:
            return await entry.answer
        deadline = loop.call_later(within_s, entry.give_up)  # asyncio.timeout() costs three times as much
        try:
            return await entry.answer
        finally:
            deadline.cancel()

    async def close(self) -> None:
        """Wait until everything submitted has been written or given up."""
        while self._flusher is not None:
            await asyncio.wait((self._flusher,))

    async def _run(self) -> None:
        batch: list[_Entry[Item, Result]] = []
        try:
            while batch or self._waiting:
                batch = await self._attempt(batch)
        finally:
            self._flusher = None

    async def _attempt(self, batch: list[_Entry[Item, Result]]) -> list[_Entry[Item, Result]]:
        """Write the batch, or the next one when it is empty; return what must be repeated."""
        try:
            async with self._lend() as connection:
                # Taken out of the buffer only now, so that without a connection nothing counts as sent.
                batch = [entry for entry in batch if entry.wanted] or self._take()
                if batch:
                    links = [entry.context for entry in batch if entry.context] if tracing.enabled() else ()
                    with tracing.span(f"commit {self._name}", links=links):
                        began = time.perf_counter() if metrics.enabled() else 0.0
                        await self._flush(connection, batch)
                        if metrics.enabled():
                            _commit_duration.record(time.perf_counter() - began, {"kind": self._name})
        except Exception as error:  # noqa: BLE001 - every waiting caller must get the error, or it would never return
            if isinstance(error, TurnedReadOnly):
                # Stored nothing this time; what an earlier sending did is as unknown as it was.
                for entry in batch:
                    entry.sent = entry.undecided
                    entry.give_up_early(asyncio.get_running_loop().time())
            elif isinstance(error, TROUBLE):
                for entry in batch:
                    entry.undecided = entry.sent
            else:
                if not batch:  # it was the lending that failed
                    batch, self._waiting = self._waiting, []
                _fail(batch, error)
                return []
            self._complain(error)
            await asyncio.sleep(_REPEAT_AFTER_S)
            self._waiting = [entry for entry in self._waiting if entry.wanted]
            return [entry for entry in batch if entry.wanted]
        return []

    def _complain(self, error: Exception) -> None:
        """Say that PostgreSQL does not answer, now and then: an outage is one event, not five a second."""
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + _COMPLAIN_EVERY_S
            reason = str(error).strip() or type(error).__name__
            log.warning("PostgreSQL did not answer, repeating %s until it does: %s", self._name, reason)

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: dict[Hashable, _Entry[Item, Result]] = {}
        later: list[_Entry[Item, Result]] = []
        for entry in self._waiting:
            if not entry.wanted:
                continue
            if len(batch) < self._max_batch and entry.key not in batch:
                batch[entry.key] = entry
            else:
                later.append(entry)
        self._waiting = later
        return list(batch.values())

    async def _flush(self, connection: Any, batch: Sequence[_Entry[Item, Result]]) -> None:
        """Write the batch in one statement, or in as many as it takes to leave out the rows that are refused."""
        items = [entry.item for entry in batch]
        for entry in batch:
            entry.sent = True
        try:
            results = await self._write(connection, items)
        except Exception as error:
            if isinstance(error, TROUBLE) or not _is_poisoned(error):
                raise
            refusal = error
        else:
            self._on_flush(items)
            for entry, result in zip(batch, results, strict=True):
                if entry.wanted:
                    entry.answer.set_result(result)
            return
        if len(batch) == 1:
            _fail(batch, StoreRefused(str(refusal)))
            return
        middle = len(batch) // 2
        await self._flush(connection, batch[:middle])
        await self._flush(connection, batch[middle:])


def _fail(batch: Sequence[_Entry[Any, Any]], error: Exception) -> None:
    for entry in batch:
        if entry.wanted:
            entry.answer.set_exception(error)
