"""`make reconcile`: after a restore, unfinished orders end by what the chain's ledger says of them."""

from collections import Counter

from devstack import both_sides
from devstack.faults import WorkersRunning
from engine_common.store import restoration
from engine_common.store.restoration import Reconciliation, WorkersAlive

_SHOWN = 100
_MIGRATE = "migrate it first, by `make deploy STOPPED=1` on Kubernetes, elsewhere by `python -m engine_common.migrate`"


async def reconcile(database_url: str, dex_url: str, *, apply: bool) -> Reconciliation:
    """End the unfinished orders in PostgreSQL by the ledger of the DEX; without `apply` only find out how.

    Raises DatabaseUnreadable, LedgerUnreadable and WorkersRunning.
    """
    try:
        async with both_sides.opened(database_url, dex_url, on_other_schema=_MIGRATE) as (connection, ledger):
            return await restoration.reconcile(connection, ledger.swaps(), apply=apply)
    except WorkersAlive as error:
        raise WorkersRunning(f"{error}, and wait until what they have sent is decided.") from error


def report(found: Reconciliation, *, applied: bool) -> list[str]:
    """Return the lines that tell a person how the orders ended, or would end, and all that is left to settle."""
    lines = [
        f"order {each.order_id}: {each.source} -> {each.target}" + (f", {each.signature}" if each.signature else "")
        for each in found.endings[:_SHOWN]
    ]
    if (left := len(found.endings) - _SHOWN) > 0:
        lines.append(f"… and {left} more orders")
    lines += [f"swapped, but not in the database: order {each.order_id}, {each.signature}" for each in found.unknown]
    ends = Counter(each.target.value for each in found.endings)
    counts = ", ".join(f"{status} {ends[status]}" for status in ("confirmed", "failed", "cancelled"))
    said = "ended" if applied else "would end (APPLY=1 does it)"
    return [*lines, f"unfinished orders {said}: {counts}; swaps of orders that are gone: {len(found.unknown)}"]
