"""One worker process, put together: what it is made of, and in which order that starts and stops."""

import asyncio
import contextlib
import logging
import random
import socket
import uuid

import psycopg
from solders.keypair import Keypair

from engine_common import live
from engine_common.orders import Order
from engine_common.store import durability
from engine_common.store.pool import TROUBLE, answering, open_pool
from engine_common.supervision import supervise
from engine_common.telemetry import probes
from engine_worker import measurements
from engine_worker.circuit import guard
from engine_worker.clock import SystemClock
from engine_worker.confirmation import Confirmations
from engine_worker.delivery import Delivery
from engine_worker.dex import VENUES
from engine_worker.dex.http_client import HttpClient
from engine_worker.dex.json_rpc import JsonRpc
from engine_worker.dex.solana import SolanaChain
from engine_worker.engine import Engine
from engine_worker.execution import Execution, RetryPolicy
from engine_worker.handlers import Tools
from engine_worker.order_store import OrderStore
from engine_worker.recovery import Heartbeat, watch
from engine_worker.settings import WorkerSettings
from engine_worker.swap import WalletSigner

log = logging.getLogger(__name__)

_POOL_SIZE = 4
# Requests under way at once.
_MAX_QUOTES = 512
_MAX_RPC_CALLS = 64
# A batch asks for up to 200 transactions, each of some ten kilobytes on a busy chain.
_MAX_RPC_ANSWER_BYTES = 16 * 1024 * 1024
_SIGN_OFF_WITHIN_S = 2.0


class WorkerProcess:
    """Claims and executes orders; its id is new with every start, never a host's or a pod's name."""

    def __init__(self, settings: WorkerSettings, wallet: Keypair) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._randomness = random.SystemRandom()
        self._pool = open_pool(settings.database_url, size=_POOL_SIZE, name="worker")
        self._heart = open_pool(settings.database_url, size=1, name="worker-heartbeat")
        self._events = live.Publisher(live.connect(settings.redis_url))
        self._store = OrderStore(
            lambda: answering(self._pool),
            lambda: answering(self._heart),
            uuid.uuid4(),
            socket.gethostname(),
            settings.engine_lease_s,
            self._events,
        )
        self._heartbeat = Heartbeat(self._store.beat, self._clock, settings.engine_lease_s)
        self._policy = RetryPolicy(settings.engine_max_attempts, settings.engine_retry_base_ms, settings.patience_s)
        self._engine = Engine(self._store, self._make_execution, settings.engine_max_in_flight)
        # Of their own each: a venue that hangs must not keep the chain from being asked.
        self._venues = HttpClient(settings.dex_url, max_connections=_MAX_QUOTES)
        self._node = HttpClient(
            settings.dex_url, max_connections=_MAX_RPC_CALLS, max_answer_bytes=_MAX_RPC_ANSWER_BYTES
        )
        self._archive = (
            HttpClient(
                settings.dex_fallback_url, max_connections=_MAX_RPC_CALLS, max_answer_bytes=_MAX_RPC_ANSWER_BYTES
            )
            if settings.dex_fallback_url
            else None
        )
        self._tools = self._make_tools(wallet)
        self._delivery = Delivery(settings.redis_url, self._engine.accept, asyncio.get_running_loop())
        self._delivering = False
        self._probes: probes.ProbeServer | None = None
        self._loops: list[asyncio.Task[None]] = []

    def _make_tools(self, wallet: Keypair) -> Tools:
        signer = WalletSigner(wallet, {venue.name: venue.program_id for venue in VENUES})
        archive = None if self._archive is None else JsonRpc(self._archive)
        chain = SolanaChain(JsonRpc(self._node), self._clock, archive)
        return Tools(
            clock=self._clock,
            store=self._store,
            venues=guard([venue(self._venues) for venue in VENUES], self._clock),
            chain=chain,
            signer=signer,
            confirmations=Confirmations(chain, self._clock),
        )

    def _make_execution(self, order: Order) -> Execution:
        return Execution(
            order, self._tools, self._events, self._policy, self._randomness, lambda: self._heartbeat.doubtful
        )

    async def start(self) -> None:
        """Begin to execute, as soon as PostgreSQL has heard this worker's first heartbeat.

        Raises PortTaken and UnfitDatabase.
        """
        measurements.begin_at_zero()
        if self._settings.metrics_port is not None:
            self._probes = await probes.serve_probes(
                self._settings.metrics_port, self._ready, self._settings.metrics_host
            )
        measurements.observe_in_flight(lambda: self._engine.in_flight)
        measurements.observe_ready(lambda: self._beating)
        await self._pool.open()
        await self._heart.open()
        await self._heartbeat.beat()
        self._loops.append(supervise(self._heartbeat.run(), "heartbeat"))
        while self._heartbeat.doubtful:
            await self._clock.sleep(0.1)
        await self._require_durable_commits()
        self._loops.append(
            supervise(watch(self._heartbeat, self._engine.compare, self._engine.sweep, self._clock), "watch")
        )
        self._delivery.start()
        self._delivering = True
        log.info("ready, carrying at most %d orders", self._settings.engine_max_in_flight)

    async def _require_durable_commits(self) -> None:
        """Make sure that what was signed stays known before it is sent. Raises UnfitDatabase."""
        production = self._settings.env == "production"
        while True:
            try:
                async with answering(self._pool) as connection:
                    await durability.check(connection, production=production)
            except TROUBLE:
                await self._clock.sleep(0.1)
            else:
                return

    @property
    def _beating(self) -> bool:
        return self._delivering and not self._heartbeat.doubtful

    async def _ready(self) -> dict[str, str]:
        return {"postgres": "up" if self._beating else "down", "redis": "up" if await self._delivery.ping() else "down"}

    async def stop(self) -> None:
        """Take nothing more, finish what can be finished in time, and release the rest to other workers."""
        drained = self._drain_and_sign_off()
        if self._delivering:
            # At once: the consumer's end takes a second, and more while Redis hangs, and orders would stand still.
            for outcome in await asyncio.gather(drained, self._delivery.stop(), return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.error("a part of the worker did not stop as it should", exc_info=outcome)
        else:
            await drained
        await self._events.close()
        await self._venues.aclose()
        await self._node.aclose()
        if self._archive is not None:
            await self._archive.aclose()
        if self._probes is not None:
            await self._probes.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SIGN_OFF_WITHIN_S):
                await self._pool.close()
                await self._heart.close()

    async def _drain_and_sign_off(self) -> None:
        await self._engine.stop(self._settings.engine_drain_s)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._sign_off()

    async def _sign_off(self) -> None:
        try:
            async with asyncio.timeout(_SIGN_OFF_WITHIN_S):
                released = await self._store.sign_off()
        except (TimeoutError, psycopg.Error, *TROUBLE) as error:
            log.warning("PostgreSQL does not answer; the lease of what is left runs out by itself: %s", error)
        else:
            log.info("stopped, %d orders released to other workers", released)
