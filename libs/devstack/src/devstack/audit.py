"""`make audit`: whether every order's word agrees with the chain's ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from devstack import both_sides
from devstack.faults import StackNotFound
from devstack.layout import Layout
from devstack.settings import StackSettings
from engine_common.store import audit as store
from engine_common.store.audit import Findings, Offender, total
from engine_common.transitions import EXECUTABLE

_SAME_VERSION = "audit it with the checkout of the version that uses it, or deploy this version first"


@dataclass(frozen=True)
class Verdict:
    """What an audit says in the end."""

    findings: Findings
    unfinished: int

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or unexplained."""
        return not (self.findings.lost or self.findings.doubled or self.findings.unexplained)


def addresses(settings: StackSettings) -> tuple[str, str]:
    """Return the URLs of PostgreSQL and of the DEX: the environment's, else the running stack's.

    Raises StackNotFound.
    """
    layout = Layout(settings.stack_dir)
    database_url = settings.database_url or layout.fact("database-url")
    dex_url = settings.dex_url or layout.fact("dex-url")
    if not database_url or not dex_url:
        raise StackNotFound(
            f"No stack is running in {layout.root}: start one with `make up`, or set DATABASE_URL and DEX_URL."
        )
    return database_url, dex_url


async def audit(database_url: str, dex_url: str) -> Verdict:
    """Compare the orders in PostgreSQL with the ledger of the DEX.

    Raises DatabaseUnreadable and LedgerUnreadable.
    """
    async with both_sides.opened(database_url, dex_url, on_other_schema=_SAME_VERSION) as (connection, ledger):
        findings = await store.audit(connection, ledger.pages(), ledger.pages())
    return Verdict(findings, sum(findings.orders.get(status, 0) for status in EXECUTABLE))


def report(verdict: Verdict) -> list[str]:
    """Return the lines that tell a person what an audit found; the last one is the same for every clean audit."""
    found = verdict.findings
    states = ", ".join(f"{status} {count}" for status, count in sorted(found.orders.items())) or "none"
    kinds = {"lost": found.lost, "doubled": found.doubled, "unexplained": found.unexplained}
    offenders = [line for kind, group in kinds.items() for line in _list(kind, group)]
    return [
        f"orders: {states}",
        f"unfinished orders: {verdict.unfinished}",
        f"landed swaps: {found.swaps_landed}, failed landings: {found.failures_landed}",
        *offenders,
        ", ".join(f"{kind} {total(group)}" for kind, group in kinds.items()),
    ]


def _list(kind: str, offenders: Sequence[Offender]) -> list[str]:
    lines = [
        f"{kind}: order {each.order_id or 'unknown'} ({each.status or 'not in the database'}), "
        f"signatures {', '.join(each.signatures)}"
        for each in offenders
    ]
    if (left := total(offenders) - len(offenders)) > 0:
        lines.append(f"{kind}: … and {left} more")
    return lines
