"""One schedule, run: workers over one database and one chain, the client's api, and the faults of a plan."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from engine_common.store import creation
from engine_common.transitions import EXECUTABLE, Status
from simulation.adapters import no_liquidity
from simulation.client import Client
from simulation.faults import CallKey, Faults
from simulation.model_chain import ModelChain, Swap
from simulation.model_connection import ModelConnection
from simulation.model_tables import OrderRow
from simulation.oracle import Violation, judge
from simulation.plan import Blow, Plan, PlannedOrder, Service
from simulation.wire import Wire, describe
from simulation.worker import Make, SimulatedWorker
from support.orders import new_order

# Far beyond what any plan's faults and the engine's patience add up to.
STUCK_AFTER_S = 90.0
# After everything has ended what was held up still comes, and must change nothing.
_AFTERMATH_S = 0.3
_MESSAGE_TAKES_S = 0.01


class Told(NamedTuple):
    """A line of a history: seconds, who, and what."""

    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.who:<9} {self.what}"


@dataclass(frozen=True)
class Outcome:
    """How a schedule ended: what was wrong, what was met on the way, and how long it took in simulated time."""

    violations: list[Violation]
    counts: Counter[str]
    calls: dict[tuple[str, str], int]
    took_s: float
    history: list[Told]


class World:
    """Everything of one schedule."""

    def __init__(self, plan: Plan, make: Make, *, tell: bool = False) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.history: list[Told] | None = [] if tell else None
        self.counts: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.calls: dict[tuple[str, str], int] = defaultdict(int)
        self.acting = "nobody"
        self.chain = ModelChain(plan, self.counts)
        self.database = make.database(self)
        self._make = make
        self._ids = [UUID(int=(plan.seed << 32 | number) + 1) for number in range(len(plan.orders))]
        self._numbers = {order_id: number for number, order_id in enumerate(self._ids)}
        self._workers: list[SimulatedWorker | None] = [None] * plan.workers
        self._lives = [0] * plan.workers
        self._tasks: set[asyncio.Task[None]] = set()
        self._unfinished = len(plan.orders)
        self._finished = self.loop.create_future()
        self._busy_until = 0.0
        self.faults = Faults(plan)

    # --- Running -------------------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Let everything happen until all orders are finished, or should long have been."""
        client = Client(Wire(self, "api", 0), self.database)
        for slot in range(self.plan.workers):
            self._start(slot)
        for blow in self.faults.timed_blows:
            self.loop.call_later(blow.at, self._strike, blow)
        for number, planned in enumerate(self.plan.orders):
            self.loop.call_later(planned.at, self._place, number, planned, client)
        self._client = client
        with _hearing(self.violate):
            try:
                async with asyncio.timeout(STUCK_AFTER_S):
                    await self._finished
            except TimeoutError:
                self.violate(
                    "stuck", f"after {STUCK_AFTER_S:g} s of simulated time something is stuck: {self._stuck()}"
                )
            await asyncio.sleep(max(self._busy_until - self.loop.time(), 0) + _AFTERMATH_S)
        for violation in judge(self):
            self.violate(*violation)
        return Outcome(self.violations, self.counts, dict(self.calls), self.loop.time(), self.history or [])

    def _start(self, slot: int) -> None:
        self._lives[slot] += 1
        worker = SimulatedWorker(self, f"worker {slot}", self._lives[slot], self._make)
        self._workers[slot] = worker
        self.tell(worker.wire.name, "starts")
        self.spawn(worker.start())

    def spawn(self, coroutine: object) -> None:
        """Run something beside everything else."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _place(self, number: int, planned: PlannedOrder, client: Client) -> None:
        pending = planned.execute_after_s is not None
        order = new_order(
            id=self._ids[number],
            user_wallet=f"w{number}",
            min_amount_out=planned.floor,
            status=Status.PENDING if pending else Status.QUEUED,
        )
        self.chain.numbers[order.user_wallet] = number
        self.spawn(_store(ModelConnection(self.database), order))
        self.tell("api", f"order {number} is {'created' if pending else 'placed'}")
        if pending:
            self.loop.call_later(planned.execute_after_s, lambda: self.spawn(client.execute(order.id, self._announce)))
        else:
            self._announce(order.id)
        for cancel in self.faults.cancels:
            if cancel.order == number and cancel.status is None:
                self.loop.call_later(cancel.after_s, self._cancel, order.id)

    def _cancel(self, order_id: UUID) -> None:
        self.spawn(self._client.cancel(order_id))

    def _announce(self, order_id: UUID) -> None:
        """Send the message that wakes a worker, as far as the queue has nothing against it."""
        number = self._numbers[order_id]
        fault = self.faults.messages.get(number)
        if fault is not None:
            self.counts[f"message: {fault.how}"] += 1
            if fault.how == "lost":
                return
        takes_s = _MESSAGE_TAKES_S + (fault.after_s if fault is not None and fault.how == "late" else 0)
        self.loop.call_later(takes_s, self._deliver, order_id, number)
        if fault is not None and fault.how in ("twice", "again"):
            self.loop.call_later(takes_s + fault.after_s, self._deliver, order_id, number + (fault.how == "twice"))

    def _deliver(self, order_id: UUID, number: int) -> None:
        worker = self._workers[number % self.plan.workers]
        if worker is None or worker.wire.dead:
            self.counts["message: to the dead"] += 1
            return
        worker.deliver([order_id])

    def _stuck(self) -> str:
        rows = [row for row in self.database.orders.values() if row.finished_at is None]
        return ", ".join(
            f"order {self.number(row.id)} in {row.status} (version {row.version}, lease {row.lease_epoch})"
            for row in rows
        )

    # --- What adapters and database ask for and tell -------------------------------------------------------------

    def number(self, order_id: UUID) -> int:
        """Return the order's number in the plan."""
        return self._numbers[order_id]

    def count_call(self, who: str, name: str) -> int:
        """Return the how-manieth call of this kind it is, over all lives of a worker."""
        self.calls[who, name] = nth = self.calls[who, name] + 1
        return nth

    def tell(self, who: str, what: str) -> None:
        """Write a line of the history, where one is kept."""
        if self.history is not None:
            self.history.append(Told(self.loop.time(), who, what))

    def violate(self, kind: str, what: str) -> None:
        """Say that something happened that must not."""
        self.violations.append(Violation(kind, what))
        self.tell("ORACLE", what)

    def unreachable(self, service: Service, who: str) -> bool:
        """Tell whether the process cannot reach the service now."""
        outage = self.faults.outage(service, who, self.loop.time())
        if outage is not None:
            self.counts[f"fault: outage of the {outage.what}"] += 1
        return outage is not None

    def node_time(self, who: str, name: str) -> float:
        """Return how far the node is that answers the process's latest call of this kind."""
        behind_s = self.faults.behind_by(self.loop.time(), name, self.calls[who, name])
        if behind_s:
            self.counts["fault: answer of a node behind"] += 1
        return max(0.0, self.loop.time() - behind_s)

    def lives(self, worker_id: UUID) -> bool:
        """Tell whether this worker's process is there, be it stalled or cut off."""
        return any(worker is not None and worker.id == worker_id and not worker.wire.dead for worker in self._workers)

    def no_liquidity(self) -> Exception:
        """Return what a venue answers that cannot fill the order."""
        return no_liquidity()

    def busy_until(self, seconds: float) -> None:
        """Do not end before that time has passed: something is still on its way."""
        self._busy_until = max(self._busy_until, self.loop.time() + seconds)

    def watch_sending(self, signature: str, swap: Swap) -> None:
        """Hear that a transaction leaves a worker: its attempt must be committed."""
        if signature not in self.database.signatures:
            what = f"attempt {swap.attempt} of order {swap.order} was sent before it was committed: {signature}"
            self.violate("sent before its commit", what)

    def on_status(self, row: OrderRow) -> None:
        """Hear that an order has reached a status."""
        for cancel in self.faults.cancels:
            if cancel.status == row.status and self._ids[cancel.order] == row.id:
                self.loop.call_later(cancel.after_s, self._cancel, row.id)

    def on_finished(self) -> None:
        """Hear that an order is finished."""
        self._unfinished -= 1
        if self._unfinished == 0 and not self._finished.done():
            self._finished.set_result(None)

    # --- Blows ---------------------------------------------------------------------------------------------------

    def strike_at(self, key: CallKey, phase: str) -> None:
        """Let the blows fall that are planned for this point."""
        for blow in self.faults.blows_at(key, phase):
            self._strike(blow)

    def _strike(self, blow: Blow) -> None:
        worker = self._workers[blow.worker]
        if worker is None or worker.wire.dead:
            return
        self.counts[f"blow: {blow.kind}"] += 1
        for row in self.database.orders.values():
            if row.worker_id == worker.id and row.status in EXECUTABLE:
                self.counts[f"blow: {blow.kind} of the owner in {row.status}"] += 1
        self.tell(worker.wire.name, describe(blow))
        if blow.kind == "stall":
            self.busy_until(blow.for_s)
            worker.wire.stall()
            self.loop.call_later(blow.for_s, self._resume, worker)
        elif blow.kind == "crash":
            worker.wire.dead = True
            self.loop.call_later(blow.for_s, self._replace, blow.worker, worker)
        else:
            self.spawn(self._stop(blow, worker))

    def _resume(self, worker: SimulatedWorker) -> None:
        self.tell(worker.wire.name, "goes on")
        worker.wire.resume()

    async def _stop(self, blow: Blow, worker: SimulatedWorker) -> None:
        await worker.stop()
        self.loop.call_later(blow.for_s, self._replace, blow.worker, worker)

    def _replace(self, slot: int, worker: SimulatedWorker) -> None:
        if self._workers[slot] is worker:
            self._start(slot)


async def _store(connection: ModelConnection, order: object) -> None:
    await creation.create(connection, [order])


# What the engine says of a transition that a plan lets PostgreSQL refuse.
_REFUSED = "order.transition_refused"


class _Ear(logging.Handler):
    """Whatever else the engine calls an error is one: no plan makes it do what nobody foresaw."""

    def __init__(self, violate: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._violate = violate

    def emit(self, record: logging.LogRecord) -> None:
        if _REFUSED in record.getMessage():
            return
        cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self._violate("error", f"the engine logged an error: {record.getMessage()}{cause}")


_LOGGERS = [logging.getLogger("engine_worker"), logging.getLogger("engine_common")]


@contextmanager
def _hearing(violate: Callable[[str, str], None]) -> Generator[None]:
    ear = _Ear(violate)
    before = [(logger.level, logger.propagate) for logger in _LOGGERS]
    for logger in _LOGGERS:
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.addHandler(ear)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(_LOGGERS, before, strict=True):
            logger.removeHandler(ear)
            logger.setLevel(level)
            logger.propagate = propagate
