"""Nothing is ended while a worker may still send, or by a ledger or a database that cannot be read."""

import asyncio
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest

from devstack.faults import DatabaseUnreadable, LedgerUnreadable, WorkersRunning
from devstack.reconciliation import reconcile
from engine_common.store.statements import BEAT
from integration.devstack.restored import Chain, Row, order, read, store


async def test_orders_are_not_ended_under_a_living_worker(dex_url: str, database_url: str) -> None:
    """It could send after the ledger was read."""
    order_id = store(database_url, "routing")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO workers (id, host) VALUES (%s, 'h')", (uuid4(),))
    with pytest.raises(WorkersRunning, match=r"workers showed signs of life in the last 30 s \(1\): stop them first"):
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

    chain.when_drained = start_worker
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
        with pytest.raises(WorkersRunning, match="workers showed signs of life"):
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
