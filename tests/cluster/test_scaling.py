"""More workers do more, and come and go without anybody noticing."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from psycopg import AsyncConnection

from cluster.deployed import Deployed
from cluster.drill import conclude, drill, settle
from cluster.traffic import Traffic, strict_session

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BACKLOG = 2000
IN_FLIGHT = 50
PLACED_A_SECOND = 150.0


async def test_workers_are_scaled_up_and_down_under_load(deployed: Deployed, new_name: Callable[[str], str]) -> None:
    """1 → 3 → 1 at 50 orders a second: no request fails, no order is lost or doubled."""

    async def scale() -> None:
        await deployed.kubernetes.scale("worker", 3)
        await deployed.kubernetes.scale("worker", 1)

    verdict = await drill(deployed.site, new_name("scale"), scale)
    assert verdict.clean, str(verdict)


@asynccontextmanager
async def bounded(deployed: Deployed) -> AsyncIterator[None]:
    """Bound what each worker carries, with swaps that do not fail: a retry at the very end would measure luck.

    For the same reason the orders of a backlog have room for a change of price.
    """
    revision = await deployed.release.revision()
    await deployed.release.upgrade(
        f"worker.env.ENGINE_MAX_IN_FLIGHT={IN_FLIGHT}", "mockdex.env.MOCK_DEX_FAILURE_RATE=0"
    )
    try:
        yield
    finally:
        await deployed.kubernetes.scale("worker", 1)
        await deployed.release.rollback(revision)


@asynccontextmanager
async def nobody_claims(deployed: Deployed) -> AsyncIterator[None]:
    """Keep workers from taking orders, so that all begin at once: how long a pod takes to start is another matter."""
    async with (
        deployed.opened() as (database_url, _),
        await AsyncConnection.connect(database_url) as connection,
    ):
        await connection.execute("LOCK TABLE orders IN SHARE MODE")
        yield


_SPAN = """
SELECT min(e.at) FILTER (WHERE e.status = 'routing'), max(o.finished_at)
FROM orders o JOIN order_events e ON e.order_id = o.id WHERE starts_with(o.idempotency_key, %(keys)s)
"""


async def seconds_for_backlog(deployed: Deployed, workers: int, name: str) -> float:
    """Place the backlog while no worker runs, have so many begin, and measure from the first claim to the last end."""
    await deployed.kubernetes.scale("worker", 0)
    async with strict_session() as session:
        traffic = Traffic(session, deployed.url, name)
        await traffic.place(BACKLOG, PLACED_A_SECOND)
        async with nobody_claims(deployed):
            await deployed.kubernetes.scale("worker", workers)
        unsettled = await settle(deployed.site, traffic, within_s=400)
        verdict = await conclude(deployed.site, traffic, unsettled)
    assert verdict.clean, str(verdict)
    assert len(verdict.claims) == BACKLOG
    async with (
        deployed.opened() as (database_url, _),
        await AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        row = await (await connection.execute(_SPAN, {"keys": f"{name}-"})).fetchone()
    assert row is not None
    first: datetime
    last: datetime
    first, last = row
    return (last - first).total_seconds()


async def test_three_workers_finish_a_backlog_nearly_three_times_as_fast_as_one(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """2,000 orders at the default delays, each worker carrying at most 50 at once."""
    async with bounded(deployed):
        three = await seconds_for_backlog(deployed, 3, new_name("three"))
        one = await seconds_for_backlog(deployed, 1, new_name("one"))
    log.info(
        "%d orders: one worker took %.1f s, three took %.1f s, %.2f times as fast", BACKLOG, one, three, one / three
    )
    assert one / three >= 2.7
