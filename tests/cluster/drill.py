"""A drill: something is done to a running system under load, everything comes to rest, and all of it is judged."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from cluster.traffic import Failure, Slowest, Traffic, strict_session
from devstack import audit
from load.claims import Claim
from load.evidence import Evidence, gather
from load.oracle import Violation, judge
from support.waiting import eventually

log = logging.getLogger(__name__)

# Orders a second. KIND_TEST_RATE: fewer, where the machine has too much else to do for this to be a test of anything.
RATE = float(os.environ.get("KIND_TEST_RATE", "50"))
_SETTLED_WITHIN_S = 180.0
_LOOK_EVERY_S = 0.5
_SHOWN = 25
_UNFINISHED = """
SELECT count(*) FROM orders WHERE starts_with(idempotency_key, %(keys)s) AND finished_at IS NULL
"""


@dataclass(frozen=True)
class Site:
    """A running system: the URL that clients use, and how PostgreSQL and the mock DEX are reached for judgement."""

    url: str
    opened: Callable[[], AbstractAsyncContextManager[tuple[str, str]]]
    """lends their URLs"""


@dataclass
class Verdict:
    """What a drill showed."""

    name: str
    requests: int
    slowest: Slowest
    claims: Sequence[Claim]
    followed: int
    reconnections: int
    failures: Sequence[Failure]
    refused_handshakes: Sequence[str]
    missed: Sequence[str]
    violations: Sequence[Violation]
    evidence: Evidence
    audit: Sequence[str]
    audit_clean: bool

    @property
    def exact(self) -> bool:
        """Whether nothing was lost, doubled, illegal or missed, whatever requests failed."""
        return bool(self.claims) and not (self.violations or self.missed) and self.audit_clean

    @property
    def clean(self) -> bool:
        """Whether it is exact, and no request and no handshake failed."""
        return self.exact and not (self.failures or self.refused_handshakes)

    @property
    def summary(self) -> str:
        """What it was and how it went, in a line."""
        return (
            f"{self.name}: {len(self.claims)} orders, {self.requests} requests, {len(self.failures)} failed, "
            f"slowest {self.slowest}, {self.followed} followed by WebSocket, {self.reconnections} "
            f"reconnections, {len(self.refused_handshakes)} handshakes failed, {len(self.missed)} missed, "
            f"{len(self.violations)} violations"
        )

    def __str__(self) -> str:
        wrong = [
            f"{title}: {each}"
            for title, found in (
                ("failed request", self.failures),
                ("failed handshake", self.refused_handshakes),
                ("missed", self.missed),
                ("violation", self.violations),
            )
            for each in [*map(str, found[:_SHOWN]), *[f"… {len(found) - _SHOWN} more"] * (len(found) > _SHOWN)]
        ]
        return "\n".join([self.summary, *wrong, *(f"audit: {line}" for line in self.audit)])


async def drill(
    site: Site,
    name: str,
    act: Callable[[], Awaitable[Any]],
    rate: float = RATE,
    before_s: float = 5.0,
    after_s: float = 5.0,
) -> Verdict:
    """Act on a system while orders are placed at a rate, from a little before to a little after, and judge."""
    async with strict_session() as session:
        traffic = Traffic(session, site.url, name)
        async with traffic.watch.following_wallet():
            async with traffic.flowing(rate):
                await asyncio.sleep(before_s)
                await act()
                await asyncio.sleep(after_s)
            unsettled = await settle(site, traffic)
        return await conclude(site, traffic, unsettled)


async def settle(site: Site, traffic: Traffic, within_s: float = _SETTLED_WITHIN_S) -> list[str]:
    """Wait until orders and followers have come to their ends; return what did not.

    Orders that do not end in time are the oracle's to find.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            async with site.opened() as (database_url, _):
                await eventually(lambda: _at_rest(database_url, traffic.name), within_s)
            await traffic.watch.followers.ended()
            await eventually(lambda: not traffic.watch.unseen(), within_s)
            return []
    left = len(traffic.watch.followers)
    await traffic.watch.followers.abandon()
    return [f"not at rest after {within_s:g} s; {left} followers were still waiting"]


async def _at_rest(database_url: str, name: str) -> bool:
    await asyncio.sleep(_LOOK_EVERY_S)
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        row = await (await connection.execute(_UNFINISHED, {"keys": f"{name}-"})).fetchone()
    return row == (0,)


async def conclude(site: Site, traffic: Traffic, unsettled: Sequence[str] = ()) -> Verdict:
    """Gather the evidence and judge it."""
    async with site.opened() as (database_url, dex_url):
        evidence = await gather(database_url, dex_url, f"{traffic.name}-")
        audited = await audit.audit(database_url, dex_url)
    verdict = Verdict(
        name=traffic.name,
        requests=traffic.requests,
        slowest=traffic.slowest,
        claims=traffic.claims,
        followed=len(traffic.watch.followings),
        reconnections=traffic.watch.reconnections,
        failures=traffic.failures,
        refused_handshakes=traffic.watch.refused_handshakes,
        missed=[*unsettled, *traffic.watch.faults()],
        violations=judge(evidence, [*traffic.claims, *looked_up(traffic, evidence)]),
        evidence=evidence,
        audit=audit.report(audited),
        audit_clean=audited.clean,
    )
    log.info("%s; %s", verdict.summary, verdict.audit[-1])
    return verdict


def looked_up(traffic: Traffic, evidence: Evidence) -> list[Claim]:
    """Return what a client finds that asks afterwards for the orders of which it was told nothing certain."""
    return [
        Claim(order.key, order.order_id, 0.0) for order in evidence.orders.values() if order.key in traffic.uncertain
    ]
