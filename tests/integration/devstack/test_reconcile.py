"""After a restore to an earlier moment the chain decides what became of the orders that were under way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from psycopg.rows import dict_row
from typer.testing import CliRunner

from devstack.audit import audit
from devstack.cli import app
from devstack.faults import DatabaseUnreadable, LedgerUnreadable, WorkersRunning
from devstack.reconciliation import reconcile, report
from engine_common.store.statements import BEAT

Row = dict[str, Any]


class Chain:
    """A ledger of the test's own."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def land(self, order_id: UUID, signature: str, *, attempt: int = 1, error: int | None = None) -> None:
        row = {"cursor": str(len(self.rows) + 1), "signature": signature, "error": error, "orderId": str(order_id)}
        amount = None if error else "222913001"
        swap = {"attempt": attempt, "venue": "meteora", "pool": "8sLb", "minimumOut": "221798437", "amountOut": amount}
        self.rows.append(row | swap)

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.to_thread(self.meanwhile)
        rows = self.rows[int(request.query.get("after", "0")) :]
        return web.json_response({"data": rows, "nextCursor": None})


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
async def dex_url(chain: Chain) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/ledger", chain.answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/"))


def store(database_url: str, status: str, *signatures: str, attempt: int = 1) -> UUID:
    """Store an order as a backup would hold it, with the signatures of its attempts."""
    order_id = uuid4()
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO orders (id, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet, "
            "status, version, attempt, traceparent, tx_hash, queued_at, worker_id, lease_epoch) "
            "VALUES (%s, '', 'MARKET', 'SOL', 'USDC', 1500000000, 50, 'w', %s, 4, %s, '', %s, %s, %s, 1)",
            (
                order_id,
                status,
                attempt,
                signatures[-1] if signatures else None,
                None if status == "pending" else "now",
                uuid4(),
            ),
        )
        for number, signature in enumerate(signatures, start=1):
            connection.execute(
                "INSERT INTO attempts (order_id, attempt, signature, signed_transaction, last_valid_block_height, "
                "floor) VALUES (%s, %s, %s, '', 1, 1)",
                (order_id, number, signature),
            )
    return order_id


def read(database_url: str, statement: str, *parameters: object) -> list[Row]:
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute(statement, parameters).fetchall()  # pyright: ignore[reportArgumentType]


def order(database_url: str, order_id: UUID) -> Row:
    return read(database_url, "SELECT * FROM orders WHERE id = %s", order_id)[0]


def ended(database_url: str, order_id: UUID) -> tuple[str, str, int]:
    found = order(database_url, order_id)
    return found["status"], found["tx_hash"], found["attempt"]


def tried(database_url: str, order_id: UUID) -> list[tuple[Any, ...]]:
    statement = "SELECT attempt, signature, outcome FROM attempts WHERE order_id = %s ORDER BY attempt"
    return [tuple(each.values()) for each in read(database_url, statement, order_id)]


@pytest.mark.parametrize("status", ["pending", "queued", "routing", "building", "submitted"])
async def test_an_order_that_was_swapped_since_is_confirmed_as_it_was(
    chain: Chain, dex_url: str, database_url: str, status: str
) -> None:
    """With the amounts of the chain, an event, and the attempt, so that an audit finds nothing to complain of."""
    known = ("s1",) if status == "submitted" else ()
    order_id = store(database_url, status, *known)
    chain.land(order_id, "s1", error=6000)
    chain.land(order_id, "s2", attempt=2)
    await reconcile(database_url, dex_url, apply=True)
    found = order(database_url, order_id)
    assert (found["status"], found["tx_hash"], found["attempt"]) == ("confirmed", "s2", 2)
    assert (found["amount_out"], found["venue"], found["pool"]) == (222913001, "meteora", "8sLb")
    assert (found["worker_id"], found["lease_epoch"]) == (None, 2)
    (event,) = read(database_url, "SELECT * FROM order_events WHERE order_id = %s", order_id)
    assert (event["seq"], event["status"], event["previous_status"], event["attempt"]) == (5, "confirmed", status, 2)
    assert event["data"] == {
        "txHash": "s2",
        "executionPrice": "148.608667333",
        "amountOut": "222.913001",
        "restored": True,
    }
    attempts = read(database_url, "SELECT attempt, signature, outcome FROM attempts ORDER BY attempt")
    assert [tuple(each.values()) for each in attempts] == [(1, "s1", "swap_failed"), (2, "s2", "confirmed")]
    assert (await audit(database_url, dex_url)).clean


async def test_an_order_that_was_swapped_by_the_attempt_the_database_knows_is_confirmed(
    chain: Chain, dex_url: str, database_url: str
) -> None:
    """Its row gets what it waited for; nothing is added."""
    order_id = store(database_url, "submitted", "s1", "s2", attempt=2)
    chain.land(order_id, "s1", error=6000)
    chain.land(order_id, "s2", attempt=2)
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, order_id) == ("confirmed", "s2", 2)
    assert tried(database_url, order_id) == [(1, "s1", "swap_failed"), (2, "s2", "confirmed")]
    assert (await audit(database_url, dex_url)).clean


@pytest.mark.parametrize("status", ["confirmed", "failed", "cancelled"])
async def test_a_finished_order_stays_as_it_is(chain: Chain, dex_url: str, database_url: str, status: str) -> None:
    """Row, events and attempts, whatever the ledger says; a contradiction is for the audit to name."""
    order_id = store(database_url, "submitted", "s1")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE orders SET status = %s, finished_at = now(), amount_out = 7, error_code = 'swap_failed' "
            "WHERE id = %s",
            (status, order_id),
        )
    chain.land(order_id, "s1", error=None if status == "confirmed" else 6000)
    tables = [f"SELECT * FROM {name}" for name in ("orders", "order_events", "attempts")]  # noqa: S608 - names of ours
    before = [read(database_url, table) for table in tables]
    found = await reconcile(database_url, dex_url, apply=True)
    assert found.endings == []
    assert [read(database_url, table) for table in tables] == before
    assert (await audit(database_url, dex_url)).clean


async def test_an_order_that_was_not_swapped_is_never_executed_again(
    chain: Chain, dex_url: str, database_url: str
) -> None:
    """Its client may have been told of its end already; what was submitted has failed, the rest is cancelled."""
    queued, building = store(database_url, "queued"), store(database_url, "building", attempt=2)
    chain.land(building, "b1", error=6001)
    expired, refused = store(database_url, "submitted", "e1"), store(database_url, "submitted", "r1")
    chain.land(refused, "r1", error=6001)
    waiting = store(database_url, "pending")
    await reconcile(database_url, dex_url, apply=True)
    ends = {each: order(database_url, each) for each in (queued, building, expired, refused, waiting)}
    assert [(found["status"], found["error_code"]) for found in ends.values()] == [
        ("cancelled", None),
        ("cancelled", None),
        ("failed", "transaction_expired"),
        ("failed", "slippage_exceeded"),
        ("pending", None),
    ]
    attempts = read(database_url, "SELECT signature, outcome FROM attempts ORDER BY signature")
    assert [tuple(each.values()) for each in attempts] == [
        ("b1", "slippage_exceeded"),
        ("e1", "transaction_expired"),
        ("r1", "slippage_exceeded"),
    ]
    assert (await audit(database_url, dex_url)).clean


async def test_a_landing_by_another_signature_than_the_known_one_is_kept_beside_it(
    chain: Chain, dex_url: str, database_url: str
) -> None:
    """Workers that ran for a moment on a restored database sign an attempt anew: both signatures are history."""
    swapped, refused = store(database_url, "submitted", "s0"), store(database_url, "submitted", "r0")
    other = store(database_url, "queued")
    chain.land(swapped, "s1")
    chain.land(refused, "r1", error=6001)
    chain.land(other, "o1")
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, swapped) == ("confirmed", "s1", 2)
    assert ended(database_url, refused) == ("failed", "r0", 1)
    assert ended(database_url, other) == ("confirmed", "o1", 1)
    assert tried(database_url, swapped) == [(1, "s0", "transaction_expired"), (2, "s1", "confirmed")]
    assert tried(database_url, refused) == [(1, "r0", "transaction_expired"), (2, "r1", "slippage_exceeded")]
    (reason,) = read(database_url, "SELECT reason FROM attempts WHERE signature = 's1'")[0].values()
    assert reason == "read from the ledger after a restore, as attempt 1"
    assert (await audit(database_url, dex_url)).clean


@pytest.mark.parametrize(("failed", "kept"), [("s1b", ("s1", "s1b")), ("s1", ("s1b", "s1"))])
async def test_of_two_landings_of_an_attempt_the_successful_one_keeps_its_number(
    chain: Chain, dex_url: str, database_url: str, failed: str, kept: tuple[str, str]
) -> None:
    """The other one gets the next that is free."""
    order_id = store(database_url, "queued")
    for signature in ("s1", "s1b"):
        chain.land(order_id, signature, error=6000 if signature == failed else None)
    chain.land(order_id, "s2", attempt=2, error=6001)
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, order_id) == ("confirmed", kept[0], 1)
    assert tried(database_url, order_id) == [
        (1, kept[0], "confirmed"),
        (2, "s2", "slippage_exceeded"),
        (3, kept[1], "swap_failed"),
    ]
    assert (await audit(database_url, dex_url)).clean


@pytest.mark.parametrize("known", ["s1", "s1b"])
async def test_an_order_that_was_swapped_twice_is_ended_and_called_doubled(
    chain: Chain, dex_url: str, database_url: str, known: str
) -> None:
    """By the swap that its client may have been told of; the others' end does not depend on it."""
    order_id, other = store(database_url, "submitted", known), store(database_url, "queued")
    chain.land(order_id, "s1")
    chain.land(order_id, "s1b")
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, order_id) == ("confirmed", known, 1)
    assert ended(database_url, other)[0] == "cancelled"
    unknown = {"s1": "s1b", "s1b": "s1"}[known]
    assert tried(database_url, order_id) == [(1, known, "confirmed"), (2, unknown, "confirmed")]
    found = (await audit(database_url, dex_url)).findings
    assert [(each.order_id, sorted(each.signatures)) for each in found.doubled] == [(order_id, ["s1", "s1b"])]
    assert (found.lost, found.unexplained) == ([], [])


async def test_a_landing_of_an_attempt_that_ended_unsigned_is_kept_beside_it(
    chain: Chain, dex_url: str, database_url: str
) -> None:
    """An attempt is written once; the ledger's word goes into one more."""
    order_id = store(database_url, "routing", attempt=2)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO attempts (order_id, attempt, outcome, ended_at) VALUES (%s, 1, 'no_liquidity', now())",
            (order_id,),
        )
    chain.land(order_id, "s1")
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, order_id) == ("confirmed", "s1", 3)
    assert tried(database_url, order_id) == [(1, None, "no_liquidity"), (3, "s1", "confirmed")]
    assert (await audit(database_url, dex_url)).clean


async def test_a_signature_of_another_order_is_left_to_the_audit(chain: Chain, dex_url: str, database_url: str) -> None:
    """A signature belongs to one order; that the chain contradicts the database must not hold up the others."""
    claimed, order_id = store(database_url, "submitted", "s1"), store(database_url, "queued")
    chain.land(order_id, "s1")
    await reconcile(database_url, dex_url, apply=True)
    assert ended(database_url, order_id)[:2] == ("confirmed", "s1")
    assert ended(database_url, claimed)[:2] == ("failed", "s1")
    assert [each.order_id for each in (await audit(database_url, dex_url)).findings.unexplained] == [order_id]


async def test_swaps_of_orders_that_are_gone_are_named(chain: Chain, dex_url: str, database_url: str) -> None:
    """They were accepted after the moment that was restored: only people can say what becomes of them."""
    gone = uuid4()
    chain.land(gone, "g1")
    chain.land(uuid4(), "g2", error=6000)
    found = await reconcile(database_url, dex_url, apply=True)
    assert report(found, applied=True) == [
        f"swapped, but not in the database: order {gone}, g1",
        "unfinished orders ended: confirmed 0, failed 0, cancelled 0; swaps of orders that are gone: 1",
    ]


async def test_many_orders_are_ended_in_pages(chain: Chain, dex_url: str, database_url: str) -> None:
    orders = [uuid4() for _ in range(1201)]
    with psycopg.connect(database_url) as connection:
        connection.cursor().executemany(
            "INSERT INTO orders (id, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet, "
            "status, version, traceparent, queued_at) "
            "VALUES (%s, '', 'MARKET', 'SOL', 'USDC', 1500000000, 50, 'w', 'queued', 1, '', now())",
            [(each,) for each in orders],
        )
    for number, each in enumerate(orders[::2]):
        chain.land(each, f"s{number}")
    found = await reconcile(database_url, dex_url, apply=True)
    assert report(found, applied=True)[-2:] == [
        "… and 1101 more orders",
        "unfinished orders ended: confirmed 601, failed 0, cancelled 600; swaps of orders that are gone: 0",
    ]
    verdict = await audit(database_url, dex_url)
    assert verdict.clean
    assert verdict.unfinished == 0


async def test_nothing_changes_before_it_is_asked_for(chain: Chain, dex_url: str, database_url: str) -> None:
    """The command says what it would do; with `--apply` it does so, and a second time there is nothing to do."""
    order_id = store(database_url, "routing")
    chain.land(order_id, "s1")
    environment = {"DATABASE_URL": database_url, "DEX_URL": dex_url}

    async def command(*options: str) -> str:
        return (await asyncio.to_thread(CliRunner(env=environment).invoke, app, ["reconcile", *options])).output

    line = f"order {order_id}: routing -> confirmed, s1\nunfinished orders "
    counts = "confirmed 1, failed 0, cancelled 0; swaps of orders that are gone: 0\n"
    assert await command() == f"{line}would end (APPLY=1 does it): {counts}"
    assert order(database_url, order_id)["status"] == "routing"
    assert await command("--apply") == f"{line}ended: {counts}"
    assert order(database_url, order_id)["status"] == "confirmed"
    assert (await command("--apply")).startswith("unfinished orders ended: confirmed 0, ")


async def test_orders_are_not_ended_under_a_living_worker(dex_url: str, database_url: str) -> None:
    """It could send after the ledger was read."""
    order_id = store(database_url, "routing")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO workers (id, host) VALUES (%s, 'h')", (uuid4(),))
    with pytest.raises(WorkersRunning, match="1 workers showed signs of life in the last 30 s: stop them first"):
        await reconcile(database_url, dex_url, apply=True)
    assert order(database_url, order_id)["status"] == "routing"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"amountOut": None}, "a swap without error has an amountOut"),
        ({"amountOut": "0"}, "amountOut .* greater than 0"),
        ({"amountOut": "many"}, "amountOut .* valid integer"),
        ({"attempt": 0}, "attempt .* greater than 0"),
        ({"venue": None}, "venue .* valid string"),
    ],
)
async def test_a_ledger_that_does_not_say_what_was_swapped_ends_nothing(
    chain: Chain, dex_url: str, database_url: str, damage: Row, said: str
) -> None:
    """Read as "nothing was swapped", it would have a swapped order cancelled."""
    order_id = store(database_url, "queued")
    chain.land(order_id, "s1")
    chain.rows[0].update(damage)
    with pytest.raises(LedgerUnreadable, match=f"^The ledger's row 1 cannot be used: .*{said}"):
        await reconcile(database_url, dex_url, apply=True)
    assert order(database_url, order_id)["status"] == "queued"


async def test_a_worker_that_starts_meanwhile_is_kept_from_it(chain: Chain, dex_url: str, database_url: str) -> None:
    """What it sent and finished before the orders are ended would stand in no ledger that was read."""
    order_id = store(database_url, "queued")
    chain.land(order_id, "s1")
    refusals = []

    def start_worker() -> None:
        with psycopg.connect(database_url, options="-c lock_timeout=200") as connection:
            try:
                connection.execute(BEAT, {"worker_id": uuid4(), "host": "h"})
            except psycopg.errors.LockNotAvailable as refusal:
                refusals.append(refusal)

    chain.meanwhile = start_worker
    await reconcile(database_url, dex_url, apply=True)
    assert len(refusals) == 1
    assert order(database_url, order_id)["status"] == "confirmed"
    start_worker()
    assert len(refusals) == 1


async def test_a_worker_that_starts_just_before_is_seen(dex_url: str, database_url: str) -> None:
    """Its first heartbeat is under way when nobody is counted, and done when the table is locked."""
    order_id = store(database_url, "routing")
    with psycopg.connect(database_url) as worker:
        worker.execute(BEAT, {"worker_id": uuid4(), "host": "h"})
        reconciling = asyncio.create_task(reconcile(database_url, dex_url, apply=True))
        waiting = "SELECT FROM pg_locks WHERE relation = 'workers'::regclass AND NOT granted"
        while not (await asyncio.to_thread(read, database_url, waiting)):
            assert not reconciling.done(), reconciling.result()
            await asyncio.sleep(0.02)
        worker.commit()
        with pytest.raises(WorkersRunning, match="1 workers showed signs of life"):
            await reconciling
    assert order(database_url, order_id)["status"] == "routing"


async def test_a_table_of_workers_that_cannot_be_locked_is_said(dex_url: str, database_url: str) -> None:
    """A living worker waits behind the lock that is asked for: it is not asked for long."""
    with psycopg.connect(database_url) as somebody:
        somebody.execute("LOCK TABLE workers IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnreadable, match="lock timeout"):
            await reconcile(database_url, dex_url, apply=True)


@pytest.mark.parametrize("change", ["ALTER TABLE orders DROP COLUMN lease_epoch", "DROP TABLE attempts"])
async def test_a_backup_of_an_older_version_has_to_be_migrated_first(
    chain: Chain, dex_url: str, database_url: str, change: LiteralString
) -> None:
    """And it is said so."""
    order_id = store(database_url, "queued")
    chain.land(order_id, "s1")
    with psycopg.connect(database_url) as connection:
        connection.execute(change)
    with pytest.raises(DatabaseUnreadable, match=r"does not exist.*: migrate it first"):
        await reconcile(database_url, dex_url, apply=True)
    assert order(database_url, order_id)["status"] == "queued"


async def test_a_database_without_orders_is_said(dex_url: str, empty_database_url: str) -> None:
    """In the same words: a migration is what it lacks."""
    with pytest.raises(DatabaseUnreadable, match="migrate it first"):
        await reconcile(empty_database_url, dex_url, apply=True)
