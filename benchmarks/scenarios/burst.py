"""Whether many orders at once are all accepted and executed, and the worker's memory does not grow with them."""

import asyncio
import time

from benchmarks.load_client import LoadClient
from benchmarks.processes import cost
from benchmarks.report import CpuPerOrder, Figure, Report, peaks
from benchmarks.session import Session

_POLL_S = 0.25
_FINISHED_WITHIN_S = 300.0
_GOAL_GROWTH_MB = 20
_WORKER = "worker"


async def measure(session: Session, *, orders: int) -> Report:
    """Send all orders as fast as one client can, and compare the worker's memory at the end with that at a quarter."""
    report = Report("burst")
    async with session.client() as client:
        before = session.processes.usage()
        client.allow(orders)
        at_quarter = await _memory_when_ended(session, client, orders // 4)
        at_end = await _memory_when_ended(session, client, orders)
        comparison = await session.conclude(report, client, _FINISHED_WITHIN_S)
        after = session.processes.usage()
    report.cpu = CpuPerOrder(cost(before, after), orders, "executed")
    sent_s = client.last_answer_at - before.at
    took_s = comparison.last_finished_at - before.at
    report.figures += [
        Figure("accepted", len(client.accepted) / sent_s, "orders/s"),
        Figure("all ended after", took_s, "s"),
        Figure("executed", len(client.accepted) / took_s, "orders/s"),
    ]
    for name, end_mb in at_end.items():
        start_mb = at_quarter.get(name, float("nan"))
        report.figures += [
            Figure(f"RSS of {name} at a quarter", start_mb, "MB"),
            Figure(f"RSS of {name} at the end", end_mb, "MB"),
            Figure(f"growth of {name}", end_mb - start_mb, "MB", at_most=_GOAL_GROWTH_MB),
        ]
    report.figures += peaks(session.processes.python_peaks_mb())
    return report


async def _memory_when_ended(session: Session, client: LoadClient, orders: int) -> dict[str, float]:
    """Return the workers' memory as soon as so many orders have ended, or as it is when they do not in time."""
    deadline = time.monotonic() + _FINISHED_WITHIN_S
    while time.monotonic() < deadline:
        accepted = len(client.accepted)
        if accepted - await session.database.unfinished() >= orders - sum(client.refusals.values()):
            break
        await asyncio.sleep(_POLL_S)
    return session.processes.resident_mb(_WORKER)
