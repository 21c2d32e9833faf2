"""The parts of the api, put together: what they are made of, and in which order that opens and closes."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypedDict

from engine_api import measurements
from engine_api.access import doors
from engine_api.access.doors import Doors
from engine_api.backlog import Backlog
from engine_api.commands import Commands, Moves
from engine_api.enqueuing import Enqueuer
from engine_api.health import Health
from engine_api.intake.placement import Inserts, Placement
from engine_api.order_book import Lend, OrderBook
from engine_api.pending_limit import PendingLimit
from engine_api.settings import ApiSettings
from engine_api.streams.catching_up import CatchingUp
from engine_api.streams.follower import id_margin_s
from engine_api.streams.hub import Hub
from engine_api.streams.missed_events import MissedEvents
from engine_common import live
from engine_common.queue import make_sender
from engine_common.store import creation, door, durability
from engine_common.store.pool import TROUBLE, Pool, answering, open_pool
from engine_common.supervision import supervise
from engine_common.telemetry import probes

log = logging.getLogger(__name__)

# Reading must not keep orders from being stored, nor the process from being ready, so the two have connections of their
# own. One insert, one move, one count and one probe are under way at a time.
_WRITING = 4
_READING = 6

CLOSE_WITHIN_S = 2.0
_START_WITHIN_S = 3.0
_ASK_AGAIN_AFTER_S = 0.5


class State(TypedDict):
    """What every request finds in its state."""

    placement: Placement
    commands: Commands
    orders: OrderBook
    health: Health
    hub: Hub
    missed: MissedEvents
    doors: Doors
    allowed_origins: frozenset[str]
    client_patience_s: float
    id_margin_s: float


@asynccontextmanager
async def assembled(settings: ApiSettings) -> AsyncGenerator[State]:
    """Put the parts together for as long as the process serves; neither PostgreSQL nor Redis need be there yet."""
    async with AsyncExitStack() as stack:
        writing = await stack.enter_async_context(_opened(settings, "api-write", _WRITING))
        reading = await stack.enter_async_context(_opened(settings, "api-read", _READING))
        patience_s = settings.database_patience_s
        lend_for_reading = partial(answering, reading, within_s=patience_s, lent_within_s=patience_s)
        await stack.enter_async_context(_durable(lend_for_reading, production=settings.env == "production"))
        publisher = live.Publisher(live.connect(settings.redis_url))
        stack.push_async_callback(publisher.close)
        enqueuer = Enqueuer(make_sender(settings.redis_url))
        enqueuer.start()
        stack.push_async_callback(asyncio.to_thread, enqueuer.close)
        inserts = Inserts(
            "orders",
            partial(answering, writing),
            creation.create,
            key=lambda order: order.id,
            on_flush=lambda orders: measurements.record_batch("insert", len(orders)),
        )
        moves = Moves("moves", partial(answering, writing), door.move, key=lambda move: move.order_id)
        orders = OrderBook(lend_for_reading)
        hub = Hub(settings.redis_url, CatchingUp(orders))
        await stack.enter_async_context(_running(hub.run, "hub"))
        backlog = Backlog(partial(answering, writing), settings.engine_max_unfinished)
        await stack.enter_async_context(_running(backlog.run, "backlog"))
        measurements.begin_at_zero()
        measurements.observe_backlog(lambda: backlog.unfinished, backlog.bound)
        asking = live.connect(settings.redis_url)
        stack.push_async_callback(asking.aclose)
        health = Health(partial(answering, writing), asking, [writing, reading])
        guarding = await stack.enter_async_context(doors.opened(settings))
        if settings.metrics_port is not None:
            serving = await probes.serve_probes(settings.metrics_port, health.postgres, settings.metrics_host)
            stack.push_async_callback(serving.close)
        yield State(
            placement=Placement(
                inserts,
                orders,
                enqueuer,
                publisher,
                backlog,
                PendingLimit(lend_for_reading, settings.engine_max_pending_per_account),
                patience_s,
            ),
            commands=Commands(orders, moves, enqueuer, publisher, backlog, patience_s),
            orders=orders,
            health=health,
            hub=hub,
            missed=MissedEvents(orders),
            doors=guarding,
            allowed_origins=frozenset(settings.allowed_origins),
            client_patience_s=settings.client_patience_s,
            id_margin_s=id_margin_s(patience_s),
        )


@asynccontextmanager
async def _opened(settings: ApiSettings, name: str, size: int) -> AsyncGenerator[Pool]:
    pool = open_pool(settings.database_url, size=size, name=name)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(CLOSE_WITHIN_S)


@asynccontextmanager
async def _running(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> AsyncGenerator[None]:
    running = supervise(work(), name)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _durable(lend: Lend, *, production: bool) -> AsyncGenerator[None]:
    """Make sure that commits last: before serving if PostgreSQL is there, otherwise as soon as it is."""
    checking = asyncio.create_task(_check_durability(lend, production=production))
    await asyncio.wait((checking,), timeout=_START_WITHIN_S)
    try:
        if checking.done():
            checking.result()
        yield
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)


async def _check_durability(lend: Lend, *, production: bool) -> None:
    while True:
        try:
            async with lend() as connection:
                await durability.check(connection, production=production)
        except durability.UnfitDatabase as error:
            log.critical("not started: %s", error)
            sys.exit(1)
        except TROUBLE:
            await asyncio.sleep(_ASK_AGAIN_AFTER_S)
        else:
            return
