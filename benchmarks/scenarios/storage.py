"""What PostgreSQL keeps of an order, and what it writes ahead and commits for it, with an instant DEX."""

import asyncio

from benchmarks.processes import cost
from benchmarks.report import CpuPerOrder, Figure, Report
from benchmarks.session import Session

_WARM_UP_ORDERS = 100
_SETTLED_WITHIN_S = 120.0
_COUNTED_AFTER_S = 2.0  # sessions report what they have written once a second


async def measure(session: Session, *, orders: int, counted_after_s: float = _COUNTED_AFTER_S) -> Report:
    """Send the orders as fast as one client can, and divide by their number what has grown when all have ended."""
    report = Report("storage")
    async with session.client() as client:
        client.allow(_WARM_UP_ORDERS)
        await client.all_answered()
        await session.database.until_finished(_SETTLED_WITHIN_S)
        await asyncio.sleep(counted_after_s)
        # Otherwise the first change of each page after it would be counted with the whole page.
        await session.database.checkpoint()
        before, small = session.processes.usage(), await session.database.footprint()
        client.allow(orders)
        await client.all_answered()
        await session.conclude(report, client, _SETTLED_WITHIN_S)
        await asyncio.sleep(counted_after_s)
        large, after = await session.database.footprint(), session.processes.usage()
    report.cpu = CpuPerOrder(cost(before, after), orders, "settled")
    tables = {name: (size - small.tables[name]) / orders for name, size in large.tables.items()}
    report.figures += [
        Figure("disk per order", sum(tables.values()), "bytes"),
        *(Figure(f"in {name} with indexes", size, "bytes") for name, size in tables.items()),
        Figure("write-ahead log per order", (large.wal_bytes - small.wal_bytes) / orders, "bytes"),
        Figure("commits per order", (large.commits - small.commits) / orders, ""),
    ]
    return report
