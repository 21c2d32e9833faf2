"""How long a lone order waits on an idle system: for its answer, and from there for its execution to begin."""

import asyncio
import random

from benchmarks.disk import fdatasync_ms
from benchmarks.percentiles import percentile_figures
from benchmarks.report import Figure, Report
from benchmarks.session import Session
from benchmarks.system import SEED
from benchmarks.wallet_stream import watched

_WALLET = "bench-idle"
_WARM_UP_ORDERS = 5
# Of random length, so that orders meet the periodic work of the processes at any of its phases.
_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.25
_ENDED_WITHIN_S = 30.0
_GOAL_ANSWER_MS = 8
_GOAL_ROUTING_MS = 15


async def measure(session: Session, *, orders: int) -> Report:
    """Send one order at a time, each when the one before has ended."""
    report = Report("idle")
    rng = random.Random(SEED)  # noqa: S311 - pauses that can be repeated, nothing secret
    disk_ms = fdatasync_ms(session.system.layout.root)
    answered_at: dict[bytes, float] = {}
    async with (
        watched(session.system.api_url, _WALLET) as stream,
        session.client(wallet=_WALLET, connections=1) as client,
    ):
        for _ in range(_WARM_UP_ORDERS + orders):
            client.allow(1)
            await client.all_answered()
            if client.refusals:
                break
            answered_at[client.accepted[-1]] = client.last_answer_at
            await stream.ended(client.accepted[-1])
            await asyncio.sleep(rng.uniform(_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S))
        await session.conclude(report, client, _ENDED_WITHIN_S)
    measured = client.accepted[_WARM_UP_ORDERS:]
    routed_at = await session.database.routing_times(measured)
    committed = [routed_at[each] - answered_at[each] for each in measured if each in routed_at]
    arrived = [stream.routing_arrived_at[each] - answered_at[each] for each in measured if each in routed_at]
    report.figures += [
        *percentile_figures("POST to answer", client.latencies_s[_WARM_UP_ORDERS:], median_at_most=_GOAL_ANSWER_MS),
        *percentile_figures("answer to routing event, its time", committed, median_at_most=_GOAL_ROUTING_MS),
        *percentile_figures("answer to routing event, arrived", arrived, median_at_most=_GOAL_ROUTING_MS),
        Figure("fdatasync of the stack's disk, median", disk_ms, "ms"),
    ]
    report.notes.append(f"{len(measured)} orders, one at a time; what happened before the answer counts as 0")
    return report
