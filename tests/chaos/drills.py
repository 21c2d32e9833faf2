"""Drills: one fault with 500 orders in flight, and how long each of them paused."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from psycopg import AsyncConnection
from rich.table import Table

from chaos.conductor import Conductor
from chaos.kinds import KINDS, Fault, Kind, Topology
from chaos.measures import percentile
from chaos.report import Outcome
from chaos.run import Run, Say, conclude, http_session
from chaos.system import System
from devstack.otlp_sink import OtlpSink
from load.evidence import Evidence
from load.plans import Plan, Way
from support.waiting import eventually

_ORDERS = 500
_KINDS = {kind.name: kind for kind in KINDS}
_RESTART_AFTER_S = 1.0
_IN_FLIGHT = "SELECT count(*) FROM orders WHERE worker_id IS NOT NULL AND finished_at IS NULL"
_NOW = "SELECT clock_timestamp()"
_SPANS_WITHIN_S = 10.0
# Long enough that all orders are in flight together; otherwise as in production, lease and blocks included.
_SETTINGS = {
    "MOCK_DEX_QUOTE_DELAY_MS": "200",
    "MOCK_DEX_EXECUTION_DELAY_MS": "6000",
    "MOCK_DEX_FAILURE_RATE": "0",
    "MOCK_DEX_BLOCK_MS": "400",
    "MOCK_DEX_VALID_BLOCKS": "151",
    "ENGINE_LEASE_S": "5",
    "ENGINE_DRAIN_S": "0",  # what a worker drains has not paused yet: here nothing hides the handing over
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}


@dataclass(frozen=True)
class Drill:
    """What is done to whom, and how long an order may pause at most (p99)."""

    name: str
    story: str
    topology: Topology
    victim: str
    kind: Kind
    recovers: bool
    """whether orders change their owner, so that a pause ends with `recovered`; else with any event"""
    goal_s: float
    leaves_some: bool = False
    """whether another worker carries a part of the orders, and those go on as if nothing had happened"""


DRILLS: Mapping[str, Drill] = {
    drill.name: drill
    for drill in (
        Drill(
            "worker",
            "SIGKILL of the only worker, a new one 1 s later",
            Topology(1, 1),
            "worker-1",
            _KINDS["kill-worker"],
            True,
            10,
        ),
        Drill(
            "postgres",
            "PostgreSQL crashed, started again 1 s later",
            Topology(1, 1),
            "postgres",
            _KINDS["postgres-crash"],
            False,
            10,
        ),
        Drill(
            "valkey",
            "Valkey killed with all its data, started 1 s later",
            Topology(1, 1),
            "valkey",
            _KINDS["valkey-crash"],
            False,
            10,
        ),
        Drill(
            "goodbye",
            "SIGTERM of a worker beside another one",
            Topology(2, 1),
            "worker-1",
            _KINDS["terminate-worker"],
            True,
            2,
            leaves_some=True,
        ),
    )
}


@dataclass
class Finding:
    """What a drill showed."""

    drill: Drill
    outcome: Outcome
    in_flight: int
    pauses_s: list[float]
    faults: list[str] = field(default_factory=list)
    retraced: int = 0
    """orders whose recovery is a span of the trace that began with their request"""

    @property
    def clean(self) -> bool:
        """Whether everything was as it must be, the goal included."""
        return self.outcome.clean and not self.faults and percentile(self.pauses_s, 99) <= self.drill.goal_s


async def practise(drill: Drill, root: Path, say: Say) -> Finding:
    """Carry a drill out on a stack of its own, in a directory of its own.

    Raises StackError in one of its forms.
    """
    sink = OtlpSink()
    async with sink.serving():
        environ = {**_SETTINGS, "MOCK_DEX_SEED": "7", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        system = System(root, drill.topology, environ, say, _RESTART_AFTER_S)
        async with system.running(), http_session() as session:
            run = Run(system, session, say)
            conductor = Conductor(system, {}, say)
            async with run.watch.following_wallet():
                await asyncio.gather(*(run.place(plan) for plan in _plans()))
                for claim in run.client.claims.values():
                    run.watch.follow(claim.order_id)
                in_flight = await _in_flight(system.database_url)
                say(f"{in_flight} orders in flight: {drill.story}")
                struck_at = await _database_time(system.database_url)
                await conductor.inject(Fault(drill.kind, drill.victim, 0.0, {}))
                settled_s = await run.settle()
            outcome = await conclude(0, system, run, conductor, settled_s)
            finding = _measure(drill, outcome, in_flight, struck_at)
            if drill.recovers:
                finding.retraced = await _retraced(outcome.evidence, sink)
                _check_traces(finding)
            return finding


def _plans() -> list[Plan]:
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5", "slippageBps": 500, "userWallet": "drill"}
    return [Plan(f"drill-{number}", Way.AT_ONCE, body, followed=False, repeated=False) for number in range(_ORDERS)]


async def _in_flight(database_url: str) -> int:
    """Wait until every order is some worker's, and return how many have not ended."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def count() -> int:
            row = await (await connection.execute(_IN_FLIGHT)).fetchone()
            assert row is not None
            return int(row[0])

        await eventually(lambda: _reaches(count, _ORDERS), within_s=20)
        return await count()


async def _reaches(count: Callable[[], Awaitable[int]], goal: int) -> bool:
    return await count() >= goal


async def _database_time(database_url: str) -> datetime:
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        row = await (await connection.execute(_NOW)).fetchone()
    assert row is not None
    return row[0]


def _measure(drill: Drill, outcome: Outcome, in_flight: int, struck_at: datetime) -> Finding:
    finding = Finding(drill, outcome, in_flight, [])
    for order_id, events in outcome.evidence.events.items():
        later = [event for event in events if event.at > struck_at]
        if drill.recovers:
            later = [event for event in later if event.type == "recovered"]
        if later:
            finding.pauses_s.append((later[0].at - struck_at).total_seconds())
        elif not drill.leaves_some:
            finding.faults.append(f"order {order_id} was in flight and did not go on with the event expected")
    if not finding.pauses_s:
        finding.faults.append("no order was in flight when it happened")
    return finding


async def _retraced(evidence: Evidence, sink: OtlpSink) -> int:
    """Count the recovered orders whose recovery is a span of their own trace, once the last spans have arrived."""
    traces = {order_id: _trace_id(evidence, order_id) for order_id in _recovered(evidence)}

    def count() -> int:
        resumed = {
            span.trace_id
            for span in sink.spans
            if span.name == "execute order" and span.attributes.get("order.recovered") is True
        }
        return sum(trace_id in resumed for trace_id in traces.values())

    with suppress(AssertionError):  # the number tells
        await eventually(lambda: count() == len(traces), within_s=_SPANS_WITHIN_S)
    return count()


def _trace_id(evidence: Evidence, order_id: str) -> str:
    return evidence.orders[order_id].traceparent.split("-")[1]


def _recovered(evidence: Evidence) -> Sequence[str]:
    return [
        order_id for order_id, events in evidence.events.items() if any(event.type == "recovered" for event in events)
    ]


def _check_traces(finding: Finding) -> None:
    recovered = len(_recovered(finding.outcome.evidence))
    if finding.retraced != recovered:
        finding.faults.append(f"{recovered} orders were recovered, {finding.retraced} have a span of it in their trace")


def table(findings: Sequence[Finding]) -> Table:
    """Return the drills side by side; times in seconds."""
    shown = Table(title="pause of each order in flight, by PostgreSQL's clock")
    for column in ("drill", "in flight", "measured", "p50", "p90", "p99", "max", "goal (p99)", "retraced", "verdict"):
        shown.add_column(column, justify="left" if column in ("drill", "verdict") else "right")
    for finding in findings:
        drill = finding.drill
        shown.add_row(
            drill.story,
            str(finding.in_flight),
            str(len(finding.pauses_s)),
            *(f"{percentile(finding.pauses_s, percent):.2f}" for percent in (50, 90, 99, 100)),
            f"{drill.goal_s:g}",
            str(finding.retraced) if drill.recovers else "",
            "clean" if finding.clean else "NOT CLEAN",
        )
    return shown
