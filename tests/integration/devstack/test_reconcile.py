"""After a restore to an earlier moment the chain decides what became of the orders that were under way."""

import asyncio
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from devstack.audit import audit
from devstack.cli import app
from devstack.reconciliation import reconcile, report
from integration.devstack.restored import Chain, ended, order, read, store, tried


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


@pytest.mark.parametrize("paid", [2**63, 2**64 - 1])
async def test_a_swap_of_any_amount_of_the_chain_is_reconciled(
    chain: Chain, dex_url: str, database_url: str, paid: int
) -> None:
    """One that the books could not hold would keep all the others from being reconciled."""
    order_id, other = store(database_url, "submitted", "s1"), store(database_url, "submitted", "s2")
    chain.land(order_id, "s1", paid=paid)
    chain.land(other, "s2")
    await reconcile(database_url, dex_url, apply=True)
    assert order(database_url, order_id)["amount_out"] == paid
    assert ended(database_url, other) == ("confirmed", "s2", 1)


async def test_an_order_that_its_owner_cancelled_and_that_was_not_swapped_is_cancelled(
    chain: Chain, dex_url: str, database_url: str
) -> None:
    """The request came while it was submitted, and its attempt landed with an error."""
    order_id = store(database_url, "submitted", "s1")
    chain.land(order_id, "s1", error=6000)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE orders SET cancel_requested_at = now() WHERE id = %s", (order_id,))
    await reconcile(database_url, dex_url, apply=True)
    assert order(database_url, order_id)["status"] == "cancelled"
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


async def test_swaps_of_orders_that_are_gone_are_all_named(chain: Chain, dex_url: str, database_url: str) -> None:
    """They were accepted after the moment that was restored: only people can say what becomes of each."""
    gone = {f"g{number}": uuid4() for number in range(150)}
    for signature, each in gone.items():
        chain.land(each, signature)
    chain.land(uuid4(), "f1", error=6000)
    found = await reconcile(database_url, dex_url, apply=True)
    assert report(found, applied=True) == [
        *(f"swapped, but not in the database: order {each}, {signature}" for signature, each in gone.items()),
        "unfinished orders ended: confirmed 0, failed 0, cancelled 0; swaps of orders that are gone: 150",
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
