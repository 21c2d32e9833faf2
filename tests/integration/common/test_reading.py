"""Reading orders and histories: pages, wallets, and what open sockets have not sent yet."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from engine_common.store import door, reading
from engine_common.store.door import from_order
from engine_common.store.pool import Connection, Pool
from engine_common.transitions import Status
from support.orders import create, insert_row, new_id, new_order, read

PAGE: dict[str, Any] = {"since": None, "after": UUID(int=0), "limit": 10}


@pytest.fixture
async def connection(shared_pool: Pool) -> AsyncIterator[Connection]:
    async with shared_pool.connection() as lent:
        yield lent


async def test_pages_go_from_new_to_old_without_overlap(connection: Connection) -> None:
    """`before` is the last order of the page before; what comes meanwhile shifts nothing."""
    account = f"pages-{new_id()}"
    ids = [order.id for order in [new_order(account=account) for _ in range(7)]]
    for order_id in ids:
        await insert_row(connection, id=order_id, account=account)
    first = await reading.list_orders(connection, account, limit=3)
    await insert_row(connection, account=account)
    second = await reading.list_orders(connection, account, limit=3, before=first[-1].id)
    third = await reading.list_orders(connection, account, limit=3, before=second[-1].id)
    assert [order.id for order in [*first, *second, *third]] == ids[::-1]


async def test_a_list_shows_the_accounts_own_orders_filtered_by_wallet_status_and_type(connection: Connection) -> None:
    """Each filter alone and all together; another account's orders are never among them."""
    account, wallet = f"lists-{new_id()}", "w1"
    wanted = await insert_row(connection, Status.FAILED, account=account, user_wallet=wallet)
    await insert_row(connection, Status.QUEUED, account=account, user_wallet=wallet)
    await insert_row(connection, Status.FAILED, account=account, user_wallet="w2")
    await insert_row(connection, Status.FAILED, account="other", user_wallet=wallet)
    count = {
        name: len(await reading.list_orders(connection, account, limit=10, **filters))
        for name, filters in {
            "all": {},
            "wallet": {"wallet": wallet},
            "status": {"status": "failed"},
            "type": {"order_type": "MARKET"},
            "no type": {"order_type": "LIMIT"},
        }.items()
    }
    assert count == {"all": 3, "wallet": 2, "status": 2, "type": 3, "no type": 0}
    found = await reading.list_orders(
        connection, account, limit=10, wallet=wallet, status="failed", order_type="MARKET"
    )
    assert [order.id for order in found] == [wanted]


async def test_a_history_is_read_from_any_seq_on(connection: Connection) -> None:
    """For one order, and for all open sockets in one query, each from where it stands."""
    (order,) = await create(connection, new_order())
    for target in (Status.ROUTING, Status.BUILDING):
        await door.move(connection, [from_order(order, target)])
        order = await read(connection, order.id)
    other = await insert_row(connection)
    assert [event.seq for event in await reading.read_events(connection, order.id)] == [1, 2, 3]
    assert [event.seq for event in await reading.read_events(connection, order.id, after=2)] == [3]
    found = await reading.read_events_after(connection, {order.id: 1, other: 0, new_id(): 0}, 10)
    assert [(event.order_id, event.seq) for event in found] == [(order.id, 2), (order.id, 3), (other, 1)]
    assert found[:2] == await reading.read_events_after(connection, {order.id: 1, other: 0}, 2)


async def test_a_wallets_state_is_its_unfinished_orders(connection: Connection) -> None:
    """The latest event of each: the rest of a history belongs to the order's own socket."""
    wallet = f"wallet-{new_id()}"[:60]
    (order,) = await create(connection, new_order(user_wallet=wallet))
    await door.move(connection, [from_order(order, Status.ROUTING)])
    await insert_row(connection, Status.FAILED, user_wallet=wallet)
    (event,) = await reading.read_wallet_state(connection, "default", wallet, **PAGE)
    assert (event.order_id, event.seq, event.status) == (order.id, 2, "routing")


async def test_a_wallets_changes_since_a_moment_include_the_finished(connection: Connection) -> None:
    """What a client missed while it was away, and what is still open."""
    wallet = f"wallet-{new_id()}"[:60]
    old = await insert_row(connection, Status.QUEUED, user_wallet=wallet, updated_at="2026-01-01T00:00:00Z")
    new = await insert_row(connection, Status.FAILED, user_wallet=wallet)
    since = (await read(connection, new)).updated_at - timedelta(seconds=1)
    found = await reading.read_wallet_state(connection, "default", wallet, **(PAGE | {"since": since}))
    assert {event.order_id for event in found} == {old, new}
    found = await reading.read_wallet_state(connection, "default", wallet, **PAGE)
    assert {event.order_id for event in found} == {old}


async def test_a_wallets_state_comes_in_pages(connection: Connection) -> None:
    """A wallet may have any number of orders: each page goes on after the order that ended the one before."""
    wallet = f"wallet-{new_id()}"[:60]
    ids = [await insert_row(connection, user_wallet=wallet) for _ in range(5)]
    pages, after = [], UUID(int=0)
    for _ in range(3):
        page = await reading.read_wallet_state(connection, "default", wallet, since=None, after=after, limit=2)
        pages.append([event.order_id for event in page])
        after = pages[-1][-1]
    assert pages == [ids[:2], ids[2:4], ids[4:]]


async def test_orders_new_to_open_wallet_sockets_are_found_for_all_of_them_at_once(connection: Connection) -> None:
    """Each socket's wallet from the order on that it knows; an account sees its own only."""
    wallets = [f"wallet-{new_id()}"[:60] for _ in range(2)]
    ids = [await insert_row(connection, user_wallet=wallets[i % 2]) for i in range(4)]
    await insert_row(connection, user_wallet=wallets[0], account="other")
    known = [("default", wallets[0], ids[0]), ("default", wallets[1], UUID(int=0))]
    found = await reading.read_new_wallet_orders(connection, known)
    assert {order_id for _, _, order_id in found} == {ids[1], ids[2], ids[3]}
    assert await reading.read_new_wallet_orders(connection, []) == []


async def test_an_unknown_order_and_another_accounts_order_look_the_same(connection: Connection) -> None:
    """Neither is there for whoever asks."""
    (order,) = await create(connection, new_order())
    assert await reading.read_order(connection, "default", order.id) is not None
    assert await reading.read_order(connection, "someone", order.id) is None
    assert await reading.read_order(connection, "default", new_id()) is None
