"""One worker process of a simulation: the engine's own code, put together as `engine_worker.process` does it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from engine_common.orders import Order
from engine_common.store.pool import TROUBLE
from engine_common.transitions import Status
from engine_worker.circuit import guard
from engine_worker.confirmation import Confirmations
from engine_worker.engine import Engine
from engine_worker.execution import Execution, RetryPolicy
from engine_worker.handlers import HANDLERS, Handler, Tools
from engine_worker.order_store import OrderStore
from engine_worker.ports import Chain
from engine_worker.recovery import Heartbeat, watch
from simulation.adapters import Announced, WiredChain, WiredConnection, WiredVenue
from simulation.model_chain import SimulatedSigner
from simulation.observed_database import ObservedDatabase
from simulation.wire import Wire

if TYPE_CHECKING:
    from simulation.world import World

LEASE_S = 3.0
_RETRY_BASE_MS = 100
_PATIENCE_S = 3.0
_SIGN_OFF_WITHIN_S = 2.0


@dataclass(frozen=True)
class Make:
    """What a worker is built from; a mutant replaces one part of it."""

    handlers: Mapping[Status, Handler] = field(default_factory=lambda: HANDLERS)
    chain: Callable[[Chain], Chain] = lambda chain: chain
    confirmations: type[Confirmations] = Confirmations
    execution: type[Execution] = Execution
    database: type[ObservedDatabase] = ObservedDatabase


class SimulatedWorker:
    """Lives from its start until it is told to stop or its wire is dead."""

    def __init__(self, world: "World", name: str, life: int, make: Make) -> None:
        plan = world.plan
        self.wire = wire = Wire(world, name, life)
        self._drain_s = plan.drain_s
        self._loops: list[asyncio.Task[None]] = []
        events = Announced(wire)
        self.id = UUID(int=(int(name.rsplit(" ", 1)[1]) + 1) << 64 | life)
        self.store = OrderStore(
            lambda: WiredConnection(wire), lambda: WiredConnection(wire, "heart"), self.id, name, LEASE_S, events
        )
        self.heartbeat = Heartbeat(self.store.beat, wire, LEASE_S)
        chain = make.chain(WiredChain(wire))
        tools = Tools(
            clock=wire,
            store=self.store,
            venues=guard([WiredVenue(wire, name) for name in ("raydium", "meteora")], wire),
            chain=chain,
            signer=SimulatedSigner(world.chain, f"wallet of {name}, life {life}"),
            confirmations=make.confirmations(chain, wire),
            handlers=make.handlers,
        )
        policy = RetryPolicy(plan.max_attempts, _RETRY_BASE_MS, 0.0 if plan.max_attempts == 1 else _PATIENCE_S)

        def execution(order: Order) -> Execution:
            return make.execution(order, tools, events, policy, wire.random, lambda: self.heartbeat.doubtful)

        self.engine = Engine(self.store, execution, plan.max_in_flight)
        self._accepting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self.heartbeat.beat()
        self._begin(self.heartbeat.run())
        while self.heartbeat.doubtful:
            await self.wire.sleep(0.1)
        self._begin(watch(self.heartbeat, self.engine.compare, self.engine.sweep, self.wire))

    def _begin(self, loop: object) -> None:
        self._loops.append(self.wire.loop.create_task(loop))

    def deliver(self, ids: Sequence[UUID]) -> None:
        """Bring a message."""

        def accept() -> None:
            task = self.wire.loop.create_task(self.engine.accept(ids, None))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

        self.wire.when_running(accept)

    async def stop(self) -> None:
        """Stop gracefully, as the process does on SIGTERM."""
        await self.engine.stop(self._drain_s)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            async with asyncio.timeout(_SIGN_OFF_WITHIN_S):
                released = await self.store.sign_off()
        except (TimeoutError, psycopg.Error, *TROUBLE):
            self.wire.world.tell(self.wire.name, "cannot sign off")
        else:
            self.wire.world.tell(self.wire.name, f"has released {released} orders")
        self.wire.dead = True
