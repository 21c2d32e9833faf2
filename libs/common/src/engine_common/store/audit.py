"""The audit: compares what the orders say with what landed on the chain, inside PostgreSQL and page by page.

Landings are copied into a temporary table, so that neither their number nor that of the orders costs memory here.
"""

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from engine_common.store.pool import Connection

_SHOWN = 100  # offenders of each kind that are listed; all are counted

_MAKE_TABLES = """
CREATE TEMPORARY TABLE landings (order_id uuid, signature text NOT NULL, succeeded boolean NOT NULL);
CREATE TEMPORARY TABLE audited_orders (id uuid NOT NULL, tx_hash text NOT NULL);
"""

_COPY_LANDINGS = "COPY landings (order_id, signature, succeeded) FROM STDIN"

_COUNT_STATES = "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"

_KEEP_CONFIRMED = """
INSERT INTO audited_orders (id, tx_hash) SELECT id, coalesce(tx_hash, '') FROM orders WHERE status = 'confirmed'
"""

_UNEXPLAINED = """
SELECT l.order_id, o.status, ARRAY[l.signature] AS signatures, count(*) OVER () AS total
FROM landings l
LEFT JOIN orders o ON o.id = l.order_id
LEFT JOIN attempts a ON a.signature = l.signature AND a.order_id = l.order_id
WHERE a.signature IS NULL OR (l.succeeded AND o.status IN ('failed', 'cancelled', 'expired'))
ORDER BY l.order_id, l.signature
LIMIT %(shown)s
"""

_ANALYSE = "ANALYZE landings, audited_orders"  # nobody else does it for temporary tables

_LOST = """
SELECT o.id AS order_id, 'confirmed' AS status, ARRAY[o.tx_hash] AS signatures, count(*) OVER () AS total
FROM audited_orders o
WHERE NOT EXISTS (SELECT FROM landings l WHERE l.signature = o.tx_hash AND l.order_id = o.id AND l.succeeded)
ORDER BY o.id
LIMIT %(shown)s
"""

_DOUBLED = """
SELECT l.order_id, o.status, array_agg(l.signature) AS signatures, count(*) OVER () AS total
FROM landings l
LEFT JOIN orders o ON o.id = l.order_id
WHERE l.succeeded AND l.order_id IS NOT NULL
GROUP BY l.order_id, o.status
HAVING count(*) > 1
ORDER BY l.order_id
LIMIT %(shown)s
"""

_COUNT_LANDINGS = """
SELECT count(*) FILTER (WHERE succeeded) AS succeeded, count(*) FILTER (WHERE NOT succeeded) AS failed FROM landings
"""


class Landing(NamedTuple):
    """A transaction of the ledger; `order_id` is None where it names none."""

    order_id: UUID | None
    signature: str
    succeeded: bool


@dataclass(frozen=True)
class Offender:
    """An order, or a landing without one, that the audit does not accept; `total` counts all of its kind."""

    order_id: UUID | None
    status: str | None
    signatures: Sequence[str]
    total: int


@dataclass(frozen=True)
class Findings:
    """What an audit found; of the offenders at most the first hundred of each kind."""

    orders: Mapping[str, int]
    swaps_landed: int
    failures_landed: int
    lost: Sequence[Offender]
    doubled: Sequence[Offender]
    unexplained: Sequence[Offender]


async def audit(
    connection: Connection, ledger: AsyncIterable[Sequence[Landing]], remainder: AsyncIterable[Sequence[Landing]]
) -> Findings:
    """Compare orders with the ledger: `ledger` is read first, then PostgreSQL, then `remainder`.

    That order makes an audit of a running system exact: what an order claims was on the ledger before it was
    claimed, and what has landed was an attempt before it was sent.

    The connection must be in autocommit, and its session the audit's own: it keeps temporary tables.
    """
    await connection.execute(_MAKE_TABLES)
    await _copy(connection, ledger)
    await connection.execute(_ANALYSE)
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows = await (await connection.execute(_COUNT_STATES)).fetchall()
        orders: dict[str, int] = dict(rows)
        await connection.execute(_KEEP_CONFIRMED)
        unexplained = await _offenders(connection, _UNEXPLAINED)
    await _copy(connection, remainder)
    await connection.execute(_ANALYSE)
    succeeded, failed = (await (await connection.execute(_COUNT_LANDINGS)).fetchall())[0]
    return Findings(
        orders=orders,
        swaps_landed=succeeded,
        failures_landed=failed,
        lost=await _offenders(connection, _LOST),
        doubled=await _offenders(connection, _DOUBLED),
        unexplained=unexplained,
    )


def total(offenders: Sequence[Offender]) -> int:
    """Count all offenders of a kind, listed or not."""
    return offenders[0].total if offenders else 0


async def _copy(connection: Connection, pages: AsyncIterable[Sequence[Landing]]) -> None:
    # A COPY for every page: none is held open while the next page is fetched.
    async for page in pages:
        async with connection.cursor().copy(_COPY_LANDINGS) as copy:
            for landing in page:
                await copy.write_row(landing)


async def _offenders(connection: Connection, query: LiteralString) -> list[Offender]:
    async with connection.cursor(row_factory=class_row(Offender)) as cursor:
        await cursor.execute(query, {"shown": _SHOWN})
        return await cursor.fetchall()
