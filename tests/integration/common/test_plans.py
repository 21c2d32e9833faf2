"""The batch statements find their rows by index, in a fresh table as in a large one: a plan is part of the contract."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import orjson
import psycopg
import pytest

from engine_common.store import statements
from engine_common.store.pool import Connection, Pool, open_pool
from support.backends import Share
from support.databases import temporary_database
from support.orders import new_id

ROWS = 50_000
# Orders of every kind, as a system has them after a while: mostly finished, some waiting, some owned by the dead.
FILL = """
INSERT INTO orders (id, account, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet, status,
                    version, traceparent, worker_id, lease_epoch, queued_at, finished_at, tx_hash, amount_out)
SELECT gen_random_uuid(), 'default', '\\x00', 'MARKET', 'SOL', 'USDC', 1, 50, 'wallet',
       CASE WHEN i %% 10 = 0 THEN 'queued' ELSE 'confirmed' END, 1, '-',
       CASE WHEN i %% 20 = 0 THEN gen_random_uuid() END,
       (i %% 20 = 0)::int, now(), CASE WHEN i %% 10 <> 0 THEN now() END, 'hash', 1
FROM generate_series(1, %(rows)s) AS i
"""
MOVES = orjson.dumps(
    [
        {"id": new_id(), "version": 1, "source": "queued", "epoch": 0, "target": "routing", "attempt": 1}
        | {"type": "status", "data": {}}
        for _ in range(200)
    ]
).decode()
ORDERS = orjson.dumps(
    [
        {"id": new_id(), "account": "default", "idempotency_key": str(i), "fingerprint": "\\x00", "type": "MARKET"}
        | {"token_in": "SOL", "token_out": "USDC", "amount_in": 1, "slippage_bps": 50, "user_wallet": "wallet"}
        | {"status": "queued", "traceparent": "-"}
        for i in range(200)
    ]
).decode()
OWNER: Mapping[str, Any] = {"worker_id": new_id(), "lease_s": 5.0}
BY_ID: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "move": (statements.MOVE, {"moves": MOVES}),
    "claim": (statements.CLAIM, {**OWNER, "ids": [new_id() for _ in range(64)]}),
    "find created": (statements.FIND_CREATED, {"ids": [new_id() for _ in range(64)]}),
    "read": (statements.READ_ORDER, {"account": "default", "id": new_id()}),
    "read own": (statements.READ_OWN, {"worker_id": new_id(), "id": new_id()}),
    "create": (statements.CREATE, {"orders": ORDERS}),
}
OVER_THE_UNFINISHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sweep": (statements.SWEEP, {**OWNER, "room": 1_000}),
    "compare": (statements.READ_OWNED, {"worker_id": new_id()}),
    "release": (statements.RELEASE, {"worker_id": new_id()}),
    "count": (statements.COUNT_UNFINISHED, {"at_most": 1000}),
}
PENDING = (statements.COUNT_PENDING, {"account": "default", "at_most": 10_000})


@pytest.fixture(scope="module")
def large_database_url(backends: Share) -> Iterator[str]:
    with temporary_database(backends.admin_url, template=backends.template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL, {"rows": ROWS})
            connection.execute("ANALYZE")
        yield url


@pytest.fixture(params=["fresh", "large"])
async def connection(request: pytest.FixtureRequest, backends: Share) -> AsyncIterator[Connection]:
    """Open a connection with the options of the hot path, to a database without orders or with many."""
    if request.param == "large":
        url, keep = request.getfixturevalue("large_database_url"), None
    else:
        keep = temporary_database(backends.admin_url, template=backends.template)
        url = keep.__enter__()
    pool: Pool
    try:
        async with open_pool(url, size=1, name="plans") as pool, pool.connection() as opened:
            yield opened
    finally:
        if keep is not None:
            keep.__exit__(None, None, None)


def scans_of_orders(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if plan.get("Relation Name") == "orders" and "Scan" in plan["Node Type"]:
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans_of_orders(child)


async def explain(
    connection: Connection, statement: str, parameters: Mapping[str, Any], kind: str
) -> list[Mapping[str, Any]]:
    """Return the scans of orders in the statement's plan: for its own values, or the generic one of a prepared one."""
    await connection.execute(f"SET plan_cache_mode = force_{kind}_plan")
    names: dict[str, str] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda found: names.setdefault(found[1], f"${len(names) + 1}"), statement)
    await connection.execute(f"PREPARE explained AS {numbered}")
    arguments = f"({', '.join(f'%({name})s' for name in names)})" if names else ""
    async with psycopg.AsyncClientCursor(connection) as cursor:
        await cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE explained{arguments}", parameters)
        row = await cursor.fetchone()
    assert row is not None
    return list(scans_of_orders(row[0][0]["Plan"]))


@pytest.mark.parametrize("kind", ["custom", "generic"])
@pytest.mark.parametrize("name", BY_ID)
async def test_a_statement_of_the_hot_path_finds_its_orders_by_id(connection: Connection, name: str, kind: str) -> None:
    """No other row of orders is touched, whatever statistics there are and whether the plan was kept."""
    for scan in await explain(connection, *BY_ID[name], kind):
        lookup = scan if scan["Node Type"] == "Index Scan" else scan["Plans"][0]
        assert re.search(r"\bid = ", lookup["Index Cond"])


@pytest.mark.parametrize("kind", ["custom", "generic"])
@pytest.mark.parametrize("name", OVER_THE_UNFINISHED)
async def test_a_statement_over_unfinished_orders_reads_no_finished_one(
    connection: Connection, name: str, kind: str
) -> None:
    """History grows without end; the partial index holds what is still to be done."""
    for scan in await explain(connection, *OVER_THE_UNFINISHED[name], kind):
        used = {scan.get("Index Name")} | {below.get("Index Name") for below in scan.get("Plans", ())}
        assert used & {"orders_unfinished", "orders_pkey"}
        assert "orders_unfinished" in used or re.search(r"\bid = ", scan["Index Cond"])


@pytest.mark.parametrize("kind", ["custom", "generic"])
async def test_pending_orders_are_counted_by_an_index_that_holds_no_others(connection: Connection, kind: str) -> None:
    """Neither an account's history nor what it has queued makes the count dearer."""
    (scan,) = await explain(connection, *PENDING, kind)
    used = {scan.get("Index Name")} | {below.get("Index Name") for below in scan.get("Plans", ())}
    assert "orders_pending" in used
