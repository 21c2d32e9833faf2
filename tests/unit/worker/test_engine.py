"""The orders a process carries: bounded, each once, each under its latest lease; in virtual time."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from engine_worker.engine import Engine
from support.carrying import Orders
from support.orders import new_id, stored_order
from support.virtual_time import in_virtual_time, settle


def accepting(engine: Engine, ids: Sequence[UUID]) -> asyncio.Task[None]:
    return asyncio.create_task(engine.accept(ids, None))


@in_virtual_time
async def test_accepted_orders_are_claimed_in_slices_as_room_appears() -> None:
    """Never more than there is room for, in order, and `accept` returns when all were claimed."""
    orders = Orders(25)
    engine = orders.engine(max_in_flight=10)
    ids = list(orders.free)
    task = accepting(engine, ids)
    for done in (10, 10, 5):
        await asyncio.sleep(1)
        orders.finish(done)
    await task
    assert [order_id for order_id, _ in orders.started] == ids
    assert orders.most == 10


@in_virtual_time
async def test_no_order_is_claimed_without_room_to_start_it() -> None:
    """What waits in `accept` stays claimable for others."""
    orders = Orders(25)
    engine = orders.engine(max_in_flight=10)
    task = accepting(engine, list(orders.free))
    await asyncio.sleep(60)
    assert len(orders.asked) == engine.in_flight == 10
    assert engine.room == 0
    task.cancel()


@in_virtual_time
async def test_two_messages_at_once_share_the_room() -> None:
    """Both threads of the actor wait for the same bound."""
    orders = Orders(40)
    engine = orders.engine(max_in_flight=10)
    ids = list(orders.free)
    tasks = [accepting(engine, ids[:20]), accepting(engine, ids[20:])]
    for _ in range(60):
        await asyncio.sleep(0.05)
        orders.finish(2)
    await asyncio.gather(*tasks)
    assert orders.most <= 10
    assert {order_id for order_id, _ in orders.started} == set(ids)


@in_virtual_time
async def test_a_sweep_and_a_message_together_stay_within_the_bound() -> None:
    """What the sweep may bring counts as taken from the moment it asks."""
    orders = Orders(40, takes_s=0.5)
    engine = orders.engine(max_in_flight=10)
    sweeping = asyncio.create_task(engine.sweep())
    await settle()
    task = accepting(engine, orders.free[20:])
    await asyncio.sleep(5)
    await sweeping
    assert orders.most <= 10
    task.cancel()


@in_virtual_time
async def test_a_sweep_takes_no_more_than_there_is_room_for() -> None:
    """And does not even ask when there is none."""
    orders = Orders(25)
    engine = orders.engine(max_in_flight=10)
    for _ in range(3):
        await engine.sweep()
    assert await started(orders, 10)
    orders.finish(4)
    await settle()
    await engine.sweep()
    assert await started(orders, 14)


@in_virtual_time
async def test_an_order_that_is_being_claimed_is_not_claimed_again() -> None:
    """A duplicate message costs nothing."""
    orders = Orders(1, takes_s=1)
    engine = orders.engine()
    (order_id,) = orders.free
    tasks = [accepting(engine, [order_id]) for _ in range(3)]
    await asyncio.gather(*tasks)
    assert orders.asked == [order_id]


@in_virtual_time
async def test_a_claim_of_the_lease_that_is_carried_already_is_dropped() -> None:
    """One coroutine an order."""
    orders = Orders(1)
    engine = orders.engine()
    order = orders._take(orders.free[0])
    for _ in range(3):
        await engine.carry(order)
    await settle()
    assert orders.started == [(order.id, 1)]
    assert engine.in_flight == 1


@in_virtual_time
async def test_an_older_lease_does_not_replace_a_newer_one() -> None:
    """A reply that comes late is history."""
    orders = Orders(0)
    engine = orders.engine()
    order_id = new_id()
    await engine.carry(stored_order(id=order_id, lease_epoch=5))
    await engine.carry(stored_order(id=order_id, lease_epoch=3))
    await settle()
    assert orders.started == [(order_id, 5)]


@in_virtual_time
async def test_a_newer_lease_ends_the_old_coroutine_first() -> None:
    """Two never run at the same time, however long the old one takes to let go."""
    orders = Orders(0)
    orders.letting_go_takes_s = 3
    engine = orders.engine()
    order_id = new_id()
    await engine.carry(stored_order(id=order_id, lease_epoch=1))
    await settle()
    await engine.carry(stored_order(id=order_id, lease_epoch=2))
    await settle()
    assert orders.started == [(order_id, 1), (order_id, 2)]
    assert orders.most == 1
    assert engine.in_flight == 1


@in_virtual_time
async def test_the_same_newer_lease_from_two_sides_at_once_starts_one_coroutine() -> None:
    """A claim's reply and a comparison may bring it while the old coroutine is still letting go."""
    orders = Orders(0)
    orders.letting_go_takes_s = 3
    engine = orders.engine()
    order_id = new_id()
    await engine.carry(stored_order(id=order_id, lease_epoch=1))
    await settle()
    await asyncio.gather(*(engine.carry(stored_order(id=order_id, lease_epoch=2)) for _ in range(2)))
    await settle()
    assert orders.started == [(order_id, 1), (order_id, 2)]
    assert orders.most == 1


@in_virtual_time
async def test_a_comparison_picks_up_what_is_owned_and_not_carried() -> None:
    """A claim whose reply was lost; what is carried, and what is being claimed, is left alone."""
    orders = Orders(3, takes_s=0.1)
    engine = orders.engine()
    lost, carried, claiming = orders.free
    await engine.carry(orders._take(carried))
    orders._take(lost)
    orders.takes_s = 1
    task = accepting(engine, [claiming])
    await settle()
    orders.takes_s = 0.1
    orders.epochs[claiming] = 1
    await engine.compare()
    await settle()
    assert orders.started == [(carried, 1), (lost, 1)]
    await task
    assert orders.started[2:] == [(claiming, 2)]


@in_virtual_time
async def test_a_comparison_leaves_alone_what_finished_while_it_read() -> None:
    """Between its two reads an order may come to its end."""
    orders = Orders(1)
    engine = orders.engine()
    order_id = orders.free[0]
    orders._take(order_id)
    orders.finished.add(order_id)
    await engine.compare()
    await settle()
    assert orders.started == []


@in_virtual_time
async def test_an_order_that_was_finished_by_others_is_let_go() -> None:
    """Cancelled while it waits for a venue or a retry, it would keep its place; the second comparison is sure."""
    orders = Orders(2)
    engine = orders.engine()
    await engine.sweep()
    await settle()
    cancelled, _ = orders.running
    del orders.epochs[cancelled.order.id]
    await engine.compare()
    await settle()
    assert engine.in_flight == 2
    await engine.compare()
    await settle()
    assert cancelled.ended
    assert engine.in_flight == 1


@in_virtual_time
async def test_an_order_that_waits_for_its_retry_is_kept() -> None:
    """It is not due, so the comparison does not find it; it is this lease's all the same."""

    class Waiting(Orders):
        async def read_owned(self) -> dict[UUID, int]:
            return {}

    orders = Waiting(1)
    engine = orders.engine()
    await engine.sweep()
    for _ in range(4):
        await engine.compare()
        await settle()
    assert engine.in_flight == 1
    assert not orders.running[0].ended


@in_virtual_time
async def test_an_execution_that_failed_by_itself_is_picked_up_by_the_next_comparison(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The order stays owned, the error is logged, and the room is free again."""
    orders = Orders(1)
    orders.failure = RuntimeError("a bug")
    engine = orders.engine()
    await engine.sweep()
    await settle()
    orders.finish(1)
    await settle()
    assert engine.in_flight == 0
    assert "order.execution_died" in caplog.text
    await engine.compare()
    assert await started(orders, 2)


@in_virtual_time
async def test_a_stopping_engine_lets_what_it_carries_finish() -> None:
    """Nothing is ended that ends by itself in time."""
    orders = Orders(5)
    engine = orders.engine()
    await engine.sweep()
    await settle()
    carried = list(orders.running)
    stopping = asyncio.create_task(engine.stop(within_s=10))
    await asyncio.sleep(2)
    orders.finish(5)
    await stopping
    assert asyncio.get_running_loop().time() < 3
    assert all(each.ended for each in carried)


@in_virtual_time
async def test_a_stopped_engine_has_ended_every_coroutine() -> None:
    """Only then may what is left be released."""
    orders = Orders(5)
    orders.letting_go_takes_s = 1
    engine = orders.engine()
    await engine.sweep()
    await settle()
    carried = list(orders.running)
    await engine.stop(within_s=3)
    assert all(each.ended for each in carried)
    assert engine.in_flight == 0


@in_virtual_time
async def test_what_a_stopping_engine_was_claiming_is_carried_while_there_is_time() -> None:
    """It is owned, so nobody else could begin with it."""
    orders = Orders(5, takes_s=2)
    engine = orders.engine()
    waiting = accepting(engine, list(orders.free))
    await settle()
    stopping = asyncio.create_task(engine.stop(within_s=10))
    await waiting
    assert await started(orders, 5)
    orders.finish(5)
    await stopping
    assert asyncio.get_running_loop().time() < 3


@in_virtual_time
async def test_a_stopping_engine_takes_nothing_more() -> None:
    """Neither by message, nor by sweep, nor by comparison, nor from a claim that is answered when it has stopped."""
    orders = Orders(30, takes_s=2)
    engine = orders.engine(max_in_flight=10)
    waiting = accepting(engine, orders.free[:20])
    await settle()
    await engine.stop(within_s=1)
    await waiting
    await engine.sweep()
    await engine.compare()
    await engine.accept([new_id()], None)
    await settle()
    assert orders.started == []
    assert len(orders.asked) == 10


async def started(orders: Orders, count: int) -> bool:
    await settle()
    return len(orders.started) == count
