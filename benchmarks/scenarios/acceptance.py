"""How many orders a second are accepted from one client that sends as fast as it can, while a worker executes them."""

from benchmarks.percentiles import percentile_figures
from benchmarks.processes import cost
from benchmarks.report import CpuPerOrder, Figure, Report
from benchmarks.session import Session

_WARM_UP_ORDERS = 200
_DRAINED_WITHIN_S = 120.0
_ACCEPTED_PER_S = 1_500


async def measure(session: Session, *, orders: int) -> Report:
    """Send the orders at once and time it until the last answer."""
    report = Report("acceptance")
    async with session.client() as client:
        client.allow(_WARM_UP_ORDERS)
        await client.all_answered()
        await session.database.until_finished(_DRAINED_WITHIN_S)
        before = session.processes.usage()
        client.allow(orders)
        await client.all_answered()
        after = session.processes.usage()
        took_s = client.last_answer_at - before.at
        confirmed, _ = await session.database.window(before.at, client.last_answer_at)
        await session.conclude(report, client, _DRAINED_WITHIN_S)
    report.cpu = CpuPerOrder(cost(before, after), orders, "accepted")
    report.figures += [
        Figure("accepted", orders / took_s, "orders/s", at_least=_ACCEPTED_PER_S),
        Figure("confirmed meanwhile", confirmed / took_s, "orders/s"),
        *percentile_figures("POST to answer", client.latencies_s[_WARM_UP_ORDERS:]),
    ]
    report.notes.append(f"{orders:,} orders over {session.connections} connections")
    return report
