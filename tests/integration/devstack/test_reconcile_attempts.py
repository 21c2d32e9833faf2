"""What becomes of attempts when the chain has landed other signatures than the restored database knows."""

import psycopg
import pytest

from devstack.audit import audit
from devstack.reconciliation import reconcile
from integration.devstack.restored import Chain, ended, read, store, tried


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
