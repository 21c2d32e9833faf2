import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from devstack.audit import audit, report
from devstack.cli import app
from devstack.faults import DatabaseUnreadable, LedgerUnreadable
from integration.devstack.restored import Chain, store

LAST_LINE = "lost 0, doubled 0, unexplained 0"


@pytest.fixture
def place(database_url: str) -> Callable[..., uuid.UUID]:
    """Store an order in a state, with the signatures of its attempts."""
    return partial(store, database_url)


async def test_orders_that_agree_with_the_chain_make_a_clean_audit(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """Retries that landed with an error, refusals without a landing and orders in flight are all in order."""
    chain.land(place("confirmed", "s1"), "s1")
    retried = place("confirmed", "s2", "s3")
    chain.land(retried, "s2", error=6000)
    chain.land(retried, "s3")
    chain.land(place("failed", "s4"), "s4", error=6001)
    place("failed")
    place("cancelled")
    place("queued")
    chain.land(place("submitted", "s5"), "s5")
    verdict = await audit(database_url, dex_url)
    assert verdict.clean
    assert verdict.unfinished == 2
    assert report(verdict) == [
        "orders: cancelled 1, confirmed 2, failed 2, queued 1, submitted 1",
        "unfinished orders: 2",
        "landed swaps: 3, failed landings: 2",
        LAST_LINE,
    ]


async def test_a_confirmed_order_without_its_landing_is_lost(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """Whether the transaction is missing, failed, or another order's."""
    missing, failed, borrowed = place("confirmed", "s1"), place("confirmed", "s2"), place("confirmed", "s3")
    chain.land(failed, "s2", error=6001)
    chain.land(place("submitted", "x"), "s3")
    verdict = await audit(database_url, dex_url)
    assert {offender.order_id for offender in verdict.findings.lost} == {missing, failed, borrowed}
    assert f"lost: order {missing} (confirmed), signatures s1" in report(verdict)
    assert report(verdict)[-1] == "lost 3, doubled 0, unexplained 1"


async def test_two_successful_landings_of_an_order_are_doubled(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """Money was spent twice, though both attempts are known."""
    order = place("confirmed", "s1", "s2")
    chain.land(order, "s1")
    chain.land(order, "s2")
    verdict = await audit(database_url, dex_url)
    (doubled,) = verdict.findings.doubled
    assert (doubled.order_id, set(doubled.signatures)) == (order, {"s1", "s2"})
    assert report(verdict)[-1] == "lost 0, doubled 1, unexplained 0"


async def test_a_second_landing_after_the_first_reading_is_doubled_too(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """Both readings of the ledger count."""
    order = place("confirmed", "s1", "s2")
    chain.land(order, "s1")
    chain.when_drained = lambda: chain.land(order, "s2") if len(chain.rows) == 1 else None
    assert report(await audit(database_url, dex_url))[-1] == "lost 0, doubled 1, unexplained 0"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_successful_landing_of_an_order_that_says_it_did_not_is_unexplained(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID], status: str
) -> None:
    """The user was told that nothing happened, and it did."""
    order = place(status, "s1")
    chain.land(order, "s1")
    verdict = await audit(database_url, dex_url)
    assert [offender.order_id for offender in verdict.findings.unexplained] == [order]


@pytest.mark.parametrize("order", [None, "no uuid", "0198aaaa-0000-7000-8000-000000000001"])
async def test_a_landing_that_no_attempt_knows_is_unexplained(
    chain: Chain, dex_url: str, database_url: str, order: str | None
) -> None:
    """Somebody signed with the engine's key what the engine never stored, successful or not."""
    chain.land(order, "s1")
    chain.land(order, "s2", error=6000)
    assert report(await audit(database_url, dex_url))[-1] == "lost 0, doubled 0, unexplained 2"


async def test_an_order_confirmed_while_the_audit_reads_is_not_lost(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """What lands after the first reading is found in the ledger's remainder, and needs no explanation yet."""

    def confirm_one() -> None:
        if not chain.rows:
            chain.land(place("confirmed", "s1"), "s1")
            chain.land(place("failed"), "s2")

    chain.when_drained = confirm_one
    assert report(await audit(database_url, dex_url))[-1] == LAST_LINE


async def test_a_long_ledger_is_read_page_by_page(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """No landing is skipped or read twice at the edge of a page, and long lists are cut but counted."""
    chain.page = 7
    order = place("confirmed", "s0")
    chain.land(order, "s0")
    for number in range(1, 150):
        chain.land(order, f"s{number}", error=6000)
    verdict = await audit(database_url, dex_url)
    assert (verdict.findings.swaps_landed, verdict.findings.failures_landed) == (1, 149)
    assert "unexplained: … and 49 more" in report(verdict)
    assert report(verdict)[-1] == "lost 0, doubled 0, unexplained 149"


async def test_the_command_fails_when_something_is_wrong_or_unsettled(
    chain: Chain, dex_url: str, database_url: str, place: Callable[..., uuid.UUID]
) -> None:
    """0 for a clean audit; SETTLED also wants every order finished; offenders always fail it."""
    order = place("confirmed", "s1")
    chain.land(order, "s1")
    assert await _run_audit(database_url, dex_url, "--settled") == (0, LAST_LINE)
    place("queued")
    assert await _run_audit(database_url, dex_url) == (0, LAST_LINE)
    assert await _run_audit(database_url, dex_url, "--settled") == (1, LAST_LINE)
    chain.land(order, "s2")
    assert await _run_audit(database_url, dex_url) == (1, "lost 0, doubled 1, unexplained 1")


async def test_an_audit_without_a_stack_says_how_to_get_one(tmp_path: Path) -> None:
    """One sentence."""
    code, said = await _run_audit("", "", stack_dir=tmp_path / "none")
    assert code == 1
    assert said == f"No stack is running in {tmp_path}/none: start one with `make up`, or set DATABASE_URL and DEX_URL."


async def test_what_cannot_be_read_is_named(dex_url: str, database_url: str, empty_database_url: str) -> None:
    """A dead database, one without orders, one of an older version and a dead DEX are told apart."""
    with pytest.raises(DatabaseUnreadable, match="cannot be used"):
        await audit("postgresql://postgres@127.0.0.1:1/postgres", dex_url)
    with pytest.raises(DatabaseUnreadable, match="audit it with the checkout of the version that uses it"):
        await audit(empty_database_url, dex_url)
    with pytest.raises(LedgerUnreadable, match=r"http://127\.0\.0\.1:1/ledger"):
        await audit(database_url, "http://127.0.0.1:1")
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE orders DROP COLUMN tx_hash CASCADE")
    with pytest.raises(DatabaseUnreadable, match=r"tx_hash.*: audit it with the checkout"):
        await audit(database_url, dex_url)


async def _run_audit(
    database_url: str, dex_url: str, *options: str, stack_dir: Path = Path("none")
) -> tuple[int | None, str]:
    env = {"DATABASE_URL": database_url, "DEX_URL": dex_url, "STACK_DIR": str(stack_dir)}
    result = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *options], env=env)
    return result.exit_code, result.output.splitlines()[-1] if result.output else str(result.exception)
