"""How long orders that were sent at once take until all have ended, with the mock DEX's default delays and failures."""

from benchmarks.processes import cost
from benchmarks.report import CpuPerOrder, Figure, Report, peaks
from benchmarks.session import Session

_SETTLED_WITHIN_S = 120.0
_GOAL_S = 15
_GOAL_RSS_MB = 200


async def measure(session: Session, *, orders: int) -> Report:
    """Send the orders as fast as one client can, and time it from the last answer to the last end."""
    report = Report("settle")
    async with session.client() as client:
        before = session.processes.usage()
        client.allow(orders)
        await client.all_answered()
        comparison = await session.conclude(report, client, _SETTLED_WITHIN_S)
        after = session.processes.usage()
    report.cpu = CpuPerOrder(cost(before, after), orders, "settled")
    report.figures += [
        Figure("sent and accepted within", client.last_answer_at - before.at, "s"),
        Figure("last answer to last end", comparison.last_finished_at - client.last_answer_at, "s", at_most=_GOAL_S),
        *peaks(session.processes.python_peaks_mb(), at_most=_GOAL_RSS_MB),
    ]
    return report
