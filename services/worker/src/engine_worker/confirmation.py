"""Asks the chain what became of every swap in flight, all of them together, and sends those again that it may not have.

No answer to a sending decides anything, only a status does. A swap has expired only when a finalized height above its
last valid one was read at slot S, and then a search of the history found nothing at a slot not before S.
"""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine_common.errors import (
    SlippageExceeded,
    SwapFailed,
    SwapRejected,
    TransactionExpired,
    Unreachable,
    Verdict,
)
from engine_common.store.door import SignedSwap
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_worker.ports import Chain, Clock, Landing, SendAnswer

log = logging.getLogger(__name__)

POLL_EVERY_S = 0.1
SEND_AGAIN_AFTER_S = 2.0
# A transaction lives for about a minute, so its death need not be looked for more often.
LOOK_FOR_EXPIRY_EVERY_S = 1.0

SLIPPAGE_ERROR = 6001
TRANSIENT_ERROR = 6000


@dataclass(slots=True, eq=False)
class _Watched:
    swap: SignedSwap
    landed: asyncio.Future[Landing]
    send_at: float
    waiters: int = 0
    sending: asyncio.Task[None] | None = field(default=None)


class Confirmations:
    """Watches every swap in flight of this process."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._look_for_expiry_at = 0.0

    async def settle(self, swap: SignedSwap) -> None:
        """Send the swap, and return once it has landed successfully.

        The swap's attempt must be committed before this is called. Raises the Verdict of an attempt that landed with an
        error or can never land. Never gives up: while the chain is silent the outcome is unknown.
        """
        watched = self._watch(swap)
        watched.waiters += 1
        try:
            landing = await asyncio.shield(watched.landed)
        finally:
            watched.waiters -= 1
            if watched.waiters == 0:
                self._forget(watched)
        if landing.error is not None:
            raise verdict_of(landing.error)

    def _watch(self, swap: SignedSwap) -> _Watched:
        watched = self._watched.get(swap.signature)
        if watched is None:
            loop = asyncio.get_running_loop()
            watched = _Watched(swap, loop.create_future(), send_at=0.0)
            self._watched[swap.signature] = watched
            self._send(watched)
        if self._watcher is None:
            # In a context of its own: polls concern every order in flight and belong to no order's trace.
            self._watcher = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
        return watched

    def _forget(self, watched: _Watched) -> None:
        self._watched.pop(watched.swap.signature, None)
        watched.landed.cancel()
        if watched.sending is not None:
            watched.sending.cancel()

    def _send(self, watched: _Watched) -> None:
        watched.send_at = self._clock.monotonic() + SEND_AGAIN_AFTER_S
        if watched.sending is None or watched.sending.done():
            watched.sending = asyncio.get_running_loop().create_task(self._send_once(watched))

    async def _send_once(self, watched: _Watched) -> None:
        try:
            answer = await self._chain.send(watched.swap.transaction)
        except Unreachable as error:
            log.debug("sending %s was not answered: %s", watched.swap.signature, error)
            return
        if answer is SendAnswer.ALREADY_PROCESSED:
            watched.send_at = float("inf")

    async def _run(self) -> None:
        try:
            # An unsampled context: ten polls a second would drown the traces of the orders.
            with tracing.use(TraceContext.new()):
                while self._watched:
                    await self._clock.sleep(POLL_EVERY_S)
                    await self._try_to_poll()
        finally:
            self._watcher = None

    async def _try_to_poll(self) -> None:
        try:
            await self._poll()
        except Unreachable as error:
            log.debug("the chain does not answer: %s", error)
        except Exception:
            log.exception("polling the chain failed, going on")

    async def _poll(self) -> None:
        now = self._clock.monotonic()
        for watched in self._watched.values():
            if watched.send_at <= now:
                self._send(watched)
        await self._read_statuses(list(self._watched.values()))
        if now >= self._look_for_expiry_at:
            self._look_for_expiry_at = now + LOOK_FOR_EXPIRY_EVERY_S
            await self._find_expired()

    async def _read_statuses(self, watched: Sequence[_Watched]) -> None:
        statuses = await self._chain.statuses([each.swap.signature for each in watched], search_history=False)
        for each, landing in zip(watched, statuses.landings, strict=True):
            _resolve(each.landed, landing)

    async def _find_expired(self) -> None:
        height = await self._chain.height()
        late = [
            watched
            for watched in self._watched.values()
            if watched.swap.last_valid_block_height < height.block_height and not watched.landed.done()
        ]
        if not late:
            return
        # In this order: the search must come after the height, or a landing between the two would be missed.
        statuses = await self._chain.statuses([each.swap.signature for each in late], search_history=True)
        for watched, landing in zip(late, statuses.landings, strict=True):
            _resolve(watched.landed, landing)
            if landing is None and statuses.slot >= height.slot and not watched.landed.done():
                watched.landed.set_exception(_expired(watched.swap, height.block_height))


def _resolve(future: asyncio.Future[Landing], landing: Landing | None) -> None:
    if landing is not None and landing.confirmed and not future.done():
        future.set_result(landing)


def _expired(swap: SignedSwap, block_height: int) -> TransactionExpired:
    return TransactionExpired(
        f"transaction {swap.signature} never landed: it was valid until block {swap.last_valid_block_height}, and the "
        f"chain is at {block_height}"
    )


def verdict_of(error: Any) -> Verdict:
    """Return the verdict on a transaction that landed with this error of Solana's."""
    code: object = None
    with contextlib.suppress(KeyError, IndexError, TypeError):
        code = error["InstructionError"][1]["Custom"]
    if code == SLIPPAGE_ERROR:
        return SlippageExceeded("the swap landed with error 6001: its output was below the order's minimum output")
    if code == TRANSIENT_ERROR:
        return SwapFailed("the swap landed with error 6000: the venue failed to execute it")
    return SwapRejected(f"the swap landed with error {error}")
