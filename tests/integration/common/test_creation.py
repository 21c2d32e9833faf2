"""Storing new orders: an INSERT that is repeated, contended for and asked twice, and never makes a second order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from engine_common.errors import StoreRefused
from engine_common.orders import NewOrder
from engine_common.store import creation, reading
from engine_common.store.creation import Created, KeyTaken
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import Connection, Pool, answering, open_pool
from engine_common.transitions import Status
from support.orders import new_id, new_order, read


@pytest.fixture
async def connection(shared_pool: Pool) -> AsyncIterator[Connection]:
    async with shared_pool.connection() as lent:
        yield lent


@pytest.mark.parametrize("status", [Status.PENDING, Status.QUEUED])
async def test_a_new_order_is_stored_with_its_first_event(connection: Connection, status: Status) -> None:
    """Seq 1, no previous status; what a pending order waits for is its owner's word."""
    order = new_order(status=status, min_amount_out=7, idempotency_key=str(new_id()))
    (created,) = await creation.create(connection, [order])
    stored = await read(connection, order.id)
    (event,) = await reading.read_events(connection, order.id)
    assert created == Created(stored.created_at)
    assert (event.seq, event.type, event.status, event.previous_status) == (1, "status", status, None)
    assert (stored.version, stored.attempt, stored.lease_epoch) == (1, 1, 0)
    for name in ("account", "token_in", "token_out", "amount_in", "slippage_bps", "min_amount_out", "user_wallet"):
        assert getattr(stored, name) == getattr(order, name)
    assert stored.traceparent == order.traceparent


async def test_a_sending_that_landed_may_be_repeated(connection: Connection) -> None:
    """The same row again is the same order, with and without a key: answered as new, and nothing is written."""
    for order in (new_order(), new_order(idempotency_key=str(new_id()))):
        first = await creation.create(connection, [order])
        assert await creation.create(connection, [order]) == first
        assert len(await reading.read_events(connection, order.id)) == 1


async def test_a_taken_key_is_answered_with_the_order_that_has_it(connection: Connection) -> None:
    """And with whether it asked for the same: a replay if so, a refusal otherwise."""
    first = new_order(idempotency_key=str(new_id()))
    await creation.create(connection, [first])
    (same,) = await creation.create(connection, [replace(first, id=new_id())])
    (other,) = await creation.create(connection, [replace(first, id=new_id(), fingerprint=b"o" * 32)])
    stored = await read(connection, first.id)
    assert same == KeyTaken(stored, same=True)
    assert other == KeyTaken(stored, same=False)


async def test_a_batch_answers_each_order_at_its_place(connection: Connection) -> None:
    """New, repeated, taken by an earlier one, and taken by a neighbour in the same statement."""
    known, keyed = new_order(), new_order(idempotency_key=str(new_id()))
    await creation.create(connection, [known, keyed])
    fresh = new_order(idempotency_key=str(new_id()))
    batch = [replace(keyed, id=new_id()), new_order(), known, fresh, replace(fresh, id=new_id())]
    answers = await creation.create(connection, batch)
    assert [type(answer) for answer in answers] == [KeyTaken, Created, Created, Created, KeyTaken]
    assert [answer.order.id for answer in answers if isinstance(answer, KeyTaken)] == [keyed.id, fresh.id]


async def test_a_key_belongs_to_one_account(connection: Connection) -> None:
    """Two accounts do not see each other's orders, not even by guessing a key."""
    key = str(new_id())
    mine, yours = new_order(idempotency_key=key), new_order(idempotency_key=key, account="you")
    assert [type(answer) for answer in await creation.create(connection, [mine, yours])] == [Created, Created]
    assert await reading.read_order(connection, "you", mine.id) is None
    found = await creation.find_by_key(connection, "you", key, yours.fingerprint)
    assert found == KeyTaken(await read(connection, yours.id, "you"), same=True)


async def test_fifty_concurrent_equal_requests_make_one_order(shared_database_url: str) -> None:
    """Over several connections, each with an id of its own: one is stored, all others are told which."""
    key, accepted = str(new_id()), []
    async with open_pool(shared_database_url, size=10, name="concurrent") as pool:

        async def request() -> None:
            order = new_order(idempotency_key=key)
            async with pool.connection() as connection:
                (answer,) = await creation.create(connection, [order])
            accepted.append((order.id, True) if isinstance(answer, Created) else (answer.order.id, answer.same))

        await asyncio.gather(*(request() for _ in range(50)))
        async with pool.connection() as connection:
            row = await (
                await connection.execute("SELECT count(*) FROM orders WHERE idempotency_key = %s", (key,))
            ).fetchone()
    assert len(set(accepted)) == 1
    assert accepted[0][1] is True
    assert row == (1,)


async def test_an_order_whose_key_is_being_written_by_somebody_else_waits_for_the_decision(
    shared_database_url: str, connection: Connection
) -> None:
    """If the other's INSERT is rolled back the order is stored, not answered with one that never was."""
    order = new_order(idempotency_key=str(new_id()))
    async with await psycopg.AsyncConnection.connect(shared_database_url) as other:
        await creation.create(other, [replace(order, id=new_id())])
        creating = asyncio.create_task(creation.create(connection, [order]))
        await asyncio.sleep(0.05)
        await other.rollback()
        assert await creating == [Created((await read(connection, order.id)).created_at)]


async def test_a_row_that_the_schema_refuses_fails_alone(shared_pool: Pool) -> None:
    """What slipped past every check above does not fail the orders of others."""
    commit: GroupCommit[NewOrder, Created | KeyTaken] = GroupCommit(
        "orders", lambda: answering(shared_pool), creation.create, key=lambda order: order.id
    )
    orders = [new_order(amount_in=0 if i == 3 else 1) for i in range(8)]
    answers = await asyncio.gather(*(commit.submit(order) for order in orders), return_exceptions=True)
    assert isinstance(answers.pop(3), StoreRefused)
    assert all(isinstance(answer, Created) for answer in answers)


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE orders; --", 'quote " \\ and backslash', "ключ 🔑 \u2028", "%(id)s %s"]
)
async def test_any_text_is_stored_as_it_came(connection: Connection, text: str) -> None:
    """Values travel as one JSON parameter and are never part of a statement."""
    order = new_order(idempotency_key=text + str(new_id()), user_wallet=text)
    await creation.create(connection, [order])
    assert (await read(connection, order.id)).user_wallet == text
    assert order.idempotency_key is not None
    found = await creation.find_by_key(connection, "default", order.idempotency_key, order.fingerprint)
    assert found is not None
    assert found.same
