"""What a scenario works with, and what all of them do at their end."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from benchmarks.database import Comparison, Database
from benchmarks.load_client import LoadClient, connected
from benchmarks.order_mix import build_requests
from benchmarks.processes import Processes
from benchmarks.report import Report
from benchmarks.system import SEED, System
from benchmarks.verdict import faults_of_client

_DIFFERENT_REQUESTS = 4096


@dataclass(frozen=True)
class Session:
    """A running system with everything that measures it."""

    system: System
    database: Database
    processes: Processes
    connections: int

    def client(
        self, *, wallet: str | None = None, connections: int | None = None
    ) -> AbstractAsyncContextManager[LoadClient]:
        """Lend a client whose requests are ready; `wallet` is that of all its orders if given."""
        host, port = self.system.host, self.system.port
        requests = build_requests(host, port, _DIFFERENT_REQUESTS, SEED, wallet)
        return connected(host, port, connections or self.connections, requests)

    async def conclude(self, report: Report, client: LoadClient, within_s: float) -> Comparison:
        """Wait until all orders have ended, and report those that were refused, are lost or did not end in time."""
        await self.database.until_finished(within_s)
        comparison = await self.database.compare(client.accepted)
        report.faults.extend(faults_of_client(client, comparison))
        states = ", ".join(f"{status} {count:,}" for status, count in sorted(comparison.by_status.items()))
        report.notes.append(f"accepted {len(client.accepted):,} orders, which became: {states}")
        return comparison
