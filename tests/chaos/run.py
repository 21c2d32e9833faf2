"""One chaos run: steady load, followers and faults on a stack of its own, then rest, then judgement."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psycopg
from psycopg import AsyncConnection

from chaos.client import Client
from chaos.complaints import complaints
from chaos.conductor import Conductor
from chaos.kinds import Topology
from chaos.report import Outcome
from chaos.schedule import Injection
from chaos.system import SETTINGS, System
from devstack import audit
from load.background import Background, steadily
from load.claims import Claim
from load.evidence import gather
from load.oracle import judge
from load.plans import WALLET, Plan, plans
from load.watching import Watch
from support.waiting import eventually

_CONNECTIONS = 300
_SETTLED_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.25
_PROGRESS_EVERY_S = 10.0
# The settings of the mock DEX that faults change, as they are without faults.
DEX_SETTINGS: dict[str, object] = {
    "execution_delay_ms": int(SETTINGS["MOCK_DEX_EXECUTION_DELAY_MS"]),
    "failure_rate": float(SETTINGS["MOCK_DEX_FAILURE_RATE"]),
    "reply_lost_rate": 0.0,
    "drop_rate": 0.0,
    "never_lands_rate": 0.0,
    "late_landing_rate": 0.0,
    "stale_status_rate": 0.0,
    "rate_limit_rate": 0.0,
    "quote_error_rate": 0.0,
    "quote_timeout_rate": 0.0,
    "quote_error_rate_raydium": None,
    "quote_error_rate_meteora": None,
    "no_liquidity_rate": 0.0,
    "rpc_error_rate": 0.0,
    "transaction_pruned_rate": 0.0,
    "rpc_max_body_bytes": 51_200,
    "rpc_max_batch": 0,
    "rpc_rate_limit": 0,
}
_UNFINISHED = "SELECT count(*) FROM orders WHERE finished_at IS NULL"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a run is to be like."""

    seed: int
    duration_s: float
    rate: float
    """orders a second"""
    topology: Topology


class Run:
    """The load and the followers of one run against one system."""

    def __init__(self, system: System, session: aiohttp.ClientSession, say: Say) -> None:
        self.client = Client(session, system.api_urls)
        self.watch = Watch(session, system.api_urls, self.client.history)
        self.missed: list[str] = []
        self._system = system
        self._say = say
        self._orders = Background()

    async def load(self, seed: int, rate: float, duration_s: float) -> None:
        """Begin so many orders a second, whatever becomes of them; return when all were begun."""
        begun = round(rate * duration_s)
        drawn = plans(f"chaos-{seed}")
        async for number in steadily(rate):
            if number == begun:
                return
            self._orders.begin(self.place(next(drawn)))

    async def place(self, plan: Plan) -> None:
        """Carry a plan out, and follow its order if the plan says so."""
        claim = await self.client.carry_out(plan, self._accepted)
        if claim is not None and plan.body["userWallet"] == WALLET:
            self.watch.wallet_orders.append(claim.order_id)

    def _accepted(self, plan: Plan, claim: Claim) -> None:
        if plan.followed:
            self.watch.follow(claim.order_id)

    async def report_progress(self) -> None:
        """Say from time to time how far it is; for ever."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            client = self.client
            self._say(
                f"{time.monotonic() - began:6.0f} s: {len(client.claims)} orders accepted, {client.open} being placed, "
                f"{len(self.watch.followers)} followed, {client.refusals.total()} requests repeated"
            )

    async def settle(self, within_s: float = _SETTLED_WITHIN_S) -> float:
        """Wait until clients, orders and followers have come to their ends, and return how long that took.

        What does not end in time is noted in `missed`, or found by the oracle.
        """
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._orders.ended()
                await eventually(self._at_rest, within_s)
                took_s = time.monotonic() - began
                await self.watch.followers.ended()
                await eventually(lambda: not self.watch.unseen(), within_s)
                return took_s
        self.missed += [f"{len(self._orders)} orders whose requests never got a certain answer"] * bool(self._orders)
        await self._orders.abandon()
        await self.watch.followers.abandon()
        return time.monotonic() - began

    async def _at_rest(self) -> bool:
        await asyncio.sleep(_LOOK_EVERY_S)
        return await unfinished(self._system.database_url) == 0


async def unfinished(database_url: str) -> int:
    """Count the orders that have not ended; an answer that does not come counts as one."""
    try:
        async with await AsyncConnection.connect(database_url, autocommit=True, connect_timeout=3) as connection:
            row = await (await connection.execute(_UNFINISHED)).fetchone()
    except psycopg.OperationalError:
        return 1
    assert row is not None
    return int(row[0])


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a session with room for many sockets."""
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=3)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def run(options: Options, schedule: Sequence[Injection], root: Path, say: Say) -> Outcome:
    """Bring a stack up in a directory, run load and faults over it, let it come to rest, and judge.

    Raises StackError in one of its forms.
    """
    environ = {"MOCK_DEX_SEED": str(options.seed % 2**63)}
    system = System(root, options.topology, environ, say)
    async with system.running(), http_session() as session:
        run = Run(system, session, say)
        conductor = Conductor(system, DEX_SETTINGS, say)
        progress = asyncio.create_task(run.report_progress())
        try:
            async with run.watch.following_wallet():
                await asyncio.gather(
                    run.load(options.seed, options.rate, options.duration_s), conductor.conduct(schedule)
                )
                system.be_fair()
                await conductor.restore_dex()
                say("the last fault and the last order are over, waiting for everything to come to rest")
                settled_s = await run.settle()
        finally:
            progress.cancel()
        return await conclude(options.seed, system, run, conductor, settled_s)


async def conclude(seed: int, system: System, run: Run, conductor: Conductor, settled_s: float) -> Outcome:
    """Gather the evidence and judge it."""
    evidence = await gather(system.database_url, system.dex_url)
    verdict = await audit.audit(system.database_url, system.dex_url)
    return Outcome(
        seed=seed,
        evidence=evidence,
        violations=judge(evidence, run.client.claims.values()),
        faults=conductor.record,
        client=run.client,
        followings=run.watch.followings,
        wallet=run.watch.wallet,
        audit=audit.report(verdict),
        audit_clean=verdict.clean and verdict.unfinished == 0,
        settled_s=settled_s,
        complaints=complaints(system.layout.logs),
        missed=[*run.missed, *run.watch.faults()],
    )
