"""How often the pending orders of an account are counted, and what happens when they cannot be."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from engine_api.pending_limit import PendingLimit
from engine_api.problems import Refusal


class Orders:
    """A database that knows nothing but a number of pending orders."""

    def __init__(self, pending: int = 0) -> None:
        self.pending = pending
        self.counts = 0
        self.away = False

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Any]:
        if self.away:
            self.counts += 1
            await asyncio.sleep(0.01)
            raise psycopg.OperationalError("PostgreSQL is away")
        yield self

    async def execute(self, _statement: str, parameters: dict[str, Any], *, prepare: bool) -> "Orders":
        assert prepare
        self.counts += 1
        self._counted = min(self.pending, parameters["at_most"])
        return self

    async def fetchone(self) -> tuple[int]:
        return (self._counted,)


async def take(limit: PendingLimit, orders: Orders, count: int = 1, account: str = "a") -> None:
    for _ in range(count):
        async with limit.admitting(account):
            orders.pending += 1


async def test_most_requests_do_not_count() -> None:
    """One count gives a share of the room: from nothing to ten thousand it takes few of them."""
    orders = Orders()
    limit = PendingLimit(orders.lend, 10_000)
    await take(limit, orders, 10_000)
    assert orders.counts < 250
    with pytest.raises(Refusal, match="10000 pending orders"):
        await take(limit, orders)
    assert orders.pending == 10_000


async def test_refusals_do_not_count_either() -> None:
    """A client that goes on asking costs PostgreSQL one count a second."""
    orders = Orders(7)
    limit = PendingLimit(orders.lend, 7)
    for _ in range(100):
        with pytest.raises(Refusal):
            await take(limit, orders)
    assert orders.counts <= 3


async def test_what_cannot_be_counted_is_not_taken_for_full() -> None:
    """The error is that of PostgreSQL, and afterwards there is room as before."""
    orders = Orders()
    limit = PendingLimit(orders.lend, 5)
    orders.away = True
    with pytest.raises(psycopg.OperationalError):
        await take(limit, orders)
    orders.away = False
    await take(limit, orders, 5)


async def test_an_order_that_could_not_be_stored_gives_its_room_back_with_the_next_count() -> None:
    """Failed requests do not add up to a full account."""
    orders = Orders()
    limit = PendingLimit(orders.lend, 5)
    for _ in range(20):
        with pytest.raises(psycopg.OperationalError):
            async with limit.admitting("a"):
                raise psycopg.OperationalError("PostgreSQL is away")
    await take(limit, orders, 5)
    with pytest.raises(Refusal):
        await take(limit, orders)


async def test_orders_that_no_process_has_stored_yet_exceed_the_bound_by_a_share_at_most() -> None:
    """A process cannot count what another one is storing: each has at most a share of orders in that state."""
    bound, share = 60, 50
    orders, stored = Orders(), asyncio.Event()

    async def take_slowly(limit: PendingLimit) -> None:
        async with limit.admitting("a"):
            await stored.wait()
            orders.pending += 1

    limits = [PendingLimit(orders.lend, bound) for _ in range(3)]
    requests = [asyncio.create_task(take_slowly(limit)) for _ in range(200) for limit in limits]
    await asyncio.sleep(0.05)
    stored.set()
    answers = await asyncio.gather(*requests, return_exceptions=True)
    assert bound <= orders.pending <= bound + (len(limits) - 1) * share
    assert {type(answer) for answer in answers} == {type(None), Refusal}


async def test_requests_that_wait_together_wait_for_one_count_while_postgresql_is_unavailable() -> None:
    """One after the other, the last of 50 would wait for 50 time-outs."""
    orders = Orders()
    orders.away = True
    limit = PendingLimit(orders.lend, 5)
    answers = await asyncio.gather(*(take(limit, orders) for _ in range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {psycopg.OperationalError}
    assert orders.counts == 1


async def test_a_request_whose_client_leaves_does_not_end_the_count_of_the_others() -> None:
    """They share it."""
    orders = Orders()
    limit = PendingLimit(orders.lend, 5)
    leaving, staying = asyncio.create_task(take(limit, orders)), asyncio.create_task(take(limit, orders))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert (orders.pending, orders.counts) == (1, 1)
