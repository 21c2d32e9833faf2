"""How many orders a second the system takes from request to confirmed swap, kept saturated by a closed loop."""

import asyncio
import os
from contextlib import suppress

from benchmarks.load_client import LoadClient
from benchmarks.percentiles import percentile_figures
from benchmarks.processes import LOAD_GENERATOR, cost
from benchmarks.report import CpuPerOrder, Figure, Report
from benchmarks.session import Session

_WARM_UP_S = 3.0
_POLL_S = 0.1
_DRAINED_WITHIN_S = 60.0
_CONFIRMED_PER_S = 700
_LOAD_GENERATOR_MS = 0.12


async def measure(session: Session, *, seconds: float, unfinished: int, warm_up_s: float = _WARM_UP_S) -> Report:
    """Keep `unfinished` orders in the system and count for some seconds what is confirmed."""
    report = Report("throughput")
    async with session.client() as client:
        feeding = asyncio.create_task(_keep_unfinished(session, client, unfinished))
        try:
            await _pass(warm_up_s, feeding)
            before, answered_before = session.processes.usage(), len(client.latencies_s)
            await _pass(seconds, feeding)
            after, answered_after = session.processes.usage(), len(client.latencies_s)
        finally:
            feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding
        await client.all_answered()
        await session.conclude(report, client, _DRAINED_WITHIN_S)
    confirmed, accepted = await session.database.window(before.at, after.at)
    spent = cost(before, after)
    report.cpu = CpuPerOrder(spent, confirmed, "confirmed")
    own_ms = report.cpu.by_process_ms()[LOAD_GENERATOR]
    report.figures += [
        Figure("confirmed", confirmed / spent.seconds, "orders/s", at_least=_CONFIRMED_PER_S),
        Figure("accepted", accepted / spent.seconds, "orders/s"),
        Figure(
            "possible at this cost without other programs", report.cpu.possible_per_s(os.cpu_count() or 1), "orders/s"
        ),
        Figure("load generator's CPU per order", own_ms, "ms", at_most=_LOAD_GENERATOR_MS),
        *percentile_figures("POST to answer", client.latencies_s[answered_before:answered_after], (50, 99)),
    ]
    report.notes.append(f"at most {unfinished} orders unfinished, {session.connections} connections")
    if spent.restarted:
        report.faults.append(f"processes were started again meanwhile: {', '.join(spent.restarted)}")
    return report


async def _pass(seconds: float, feeding: asyncio.Task[None]) -> None:
    """Let time pass, unless the feeding fails."""
    done, _ = await asyncio.wait((feeding,), timeout=seconds)
    if done:
        feeding.result()


async def _keep_unfinished(session: Session, client: LoadClient, limit: int) -> None:
    """Allow a new order for each that has ended, so that acceptance follows confirmation and starves nobody."""
    finished = 0
    while not client.refusals:
        accepted = len(client.accepted)
        # What was committed without the client knowing yet only makes this less than it is.
        finished = max(finished, accepted - await session.database.unfinished())
        if (room := limit - (client.allowed - finished)) > 0:
            client.allow(room)
        await asyncio.sleep(_POLL_S)
