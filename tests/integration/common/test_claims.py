"""Who may take an order, and what a claim changes: `recoverable`, case by case."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from engine_common.orders import Order
from engine_common.store import claims, door, reading
from engine_common.store.door import from_order
from engine_common.store.pool import Connection, Pool
from engine_common.transitions import EXECUTABLE, TERMINAL, Status
from support.orders import create, insert_row, new_id, new_order, read

LEASE_S = 5.0


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection to a database in which the sweep finds nothing of other tests."""
    async with pool.connection() as lent:
        yield lent


async def worker(connection: Connection, *, beat_s_ago: float | None = 0) -> UUID:
    """Return a worker whose heart beat so long ago, or never."""
    worker_id = new_id()
    if beat_s_ago is not None:
        await claims.beat(connection, worker_id, "host")
        await connection.execute(
            "UPDATE workers SET beat_at = clock_timestamp() - %s * interval '1 second' WHERE id = %s",
            (beat_s_ago, worker_id),
        )
    return worker_id


def in_a_minute() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=60)


async def owned(connection: Connection, status: Status, owner: UUID | None) -> UUID:
    return await insert_row(connection, status, worker_id=owner, lease_epoch=0 if owner is None else 1)


async def claimed(connection: Connection, order_id: UUID) -> list[Order]:
    me = await worker(connection)
    return [taken.order for taken in await claims.claim(connection, me, [order_id], LEASE_S)]


async def swept(connection: Connection, me: UUID, room: int = 10) -> list[UUID]:
    return [taken.order.id for taken in await claims.sweep(connection, me, room, LEASE_S)]


@pytest.mark.parametrize("status", sorted(EXECUTABLE))
async def test_an_executable_order_without_owner_is_claimed_in_any_state(
    connection: Connection, status: Status
) -> None:
    """A worker that crashed anywhere leaves a state from which any other goes on."""
    order_id = await owned(connection, status, None)
    (order,) = await claimed(connection, order_id)
    assert (order.id, order.status, order.lease_epoch) == (order_id, status, 1)


@pytest.mark.parametrize("status", sorted(set(Status) - EXECUTABLE))
async def test_what_is_not_to_be_executed_is_never_claimed(connection: Connection, status: Status) -> None:
    """Neither by message nor by sweep."""
    order_id = await owned(connection, status, None)
    assert await claimed(connection, order_id) == []
    assert await claims.sweep(connection, await worker(connection), 10, LEASE_S) == []


@pytest.mark.parametrize(("beat_s_ago", "protected"), [(0, True), (4, True), (6, False), (3_000, False), (None, False)])
async def test_a_fresh_heartbeat_protects_its_orders_and_no_other_does(
    connection: Connection, beat_s_ago: float | None, protected: bool
) -> None:
    """Stale is older than the lease by the database's clock; no row at all counts as stale."""
    owner = await worker(connection, beat_s_ago=beat_s_ago)
    order_id = await owned(connection, Status.ROUTING, owner)
    assert (await claimed(connection, order_id) == []) is protected


async def test_a_worker_does_not_claim_what_is_already_its_own(connection: Connection) -> None:
    """A duplicate message cannot steal a living worker's order, not even for itself."""
    me = await worker(connection)
    order_id = await owned(connection, Status.QUEUED, None)
    assert len(await claims.claim(connection, me, [order_id], LEASE_S)) == 1
    assert await claims.claim(connection, me, [order_id], LEASE_S) == []
    assert (await read(connection, order_id)).lease_epoch == 1


async def test_an_order_that_waits_for_its_retry_is_not_claimed_before(connection: Connection) -> None:
    """`not_before` holds for the message and for the sweep."""
    waiting = await insert_row(
        connection, Status.ROUTING, lease_epoch=1, not_before=datetime.now(UTC) + timedelta(seconds=60)
    )
    due = await insert_row(connection, Status.ROUTING, lease_epoch=1, not_before="2026-01-01T00:00:00Z")
    me = await worker(connection)
    assert [taken.order.id for taken in await claims.claim(connection, me, [waiting, due], LEASE_S)] == [due]
    assert await claims.sweep(connection, me, 10, LEASE_S) == []


async def test_a_first_claim_changes_the_owner_and_nothing_else(connection: Connection) -> None:
    """Claim and release change ownership, never status; the first writes no event and keeps the version."""
    (order,) = await create(connection, new_order())
    (taken,) = await claimed(connection, order.id)
    assert (taken.status, taken.version, taken.lease_epoch) == (order.status, order.version, 1)
    assert taken.state_since == order.state_since
    assert claims.recovery_event(taken) is None
    assert len(await reading.read_events(connection, order.id)) == 1


@pytest.mark.parametrize("status", sorted(EXECUTABLE))
async def test_every_further_claim_writes_recovered_with_the_next_seq(connection: Connection, status: Status) -> None:
    """Status unchanged and no previous one; the version moves, so a stale owner's writes are fenced twice."""
    order_id = await owned(connection, status, await worker(connection, beat_s_ago=60))
    (taken,) = await claimed(connection, order_id)
    events = await reading.read_events(connection, order_id)
    assert (taken.status, taken.version, taken.lease_epoch, taken.attempt) == (status, 2, 2, 1)
    assert [(event.seq, event.type, event.status) for event in events] == [
        (1, "status", status),
        (2, "recovered", status),
    ]
    assert events[-1].previous_status is None
    assert events[-1] == claims.recovery_event(taken), "what is published is the row"


async def test_a_claim_tells_whether_the_owner_before_had_let_go(connection: Connection) -> None:
    """Deserted is what a worker owned that died or hung; the released and the new are not."""
    me, stopping = await worker(connection), await worker(connection)
    new, deserted, released = (
        await owned(connection, Status.QUEUED, None),
        await owned(connection, Status.ROUTING, await worker(connection, beat_s_ago=60)),
        await owned(connection, Status.ROUTING, stopping),
    )
    await claims.release(connection, stopping)
    taken = await claims.claim(connection, me, [new, deserted, released], LEASE_S)
    assert {one.order.id: one.deserted for one in taken} == {new: False, deserted: True, released: False}


async def test_a_claimed_order_comes_back_as_it_stands(connection: Connection) -> None:
    """A claim returns version, status and epoch: the worker goes on from there without reading again."""
    order_id = await owned(connection, Status.BUILDING, await worker(connection, beat_s_ago=60))
    (taken,) = await claimed(connection, order_id)
    assert taken == await read(connection, order_id)
    assert (await door.move(connection, [from_order(taken, Status.CANCELLED)])) != [None]


async def test_the_sweep_leaves_a_new_order_to_its_message_for_a_second(connection: Connection) -> None:
    """A long backlog is not amplified, and what no message announced is executed all the same."""
    await create(connection, new_order())
    overdue = await insert_row(connection, state_since="2026-01-01T00:00:00Z")
    me = await worker(connection)
    assert await swept(connection, me) == [overdue]


async def test_the_sweep_takes_what_the_dead_owned_and_what_was_released_at_once(connection: Connection) -> None:
    """Neither waits for the second that a message is given, and the claim tells which was which."""
    dead = await owned(connection, Status.QUEUED, await worker(connection, beat_s_ago=60))
    released = await insert_row(connection, Status.SUBMITTED, lease_epoch=2)
    living = await owned(connection, Status.ROUTING, await worker(connection))
    found = await claims.sweep(connection, await worker(connection), 10, LEASE_S)
    assert {(taken.order.id, taken.deserted) for taken in found} == {(dead, True), (released, False)}
    assert (await read(connection, living)).lease_epoch == 1


async def test_the_sweep_takes_the_oldest_first_and_no_more_than_there_is_room_for(connection: Connection) -> None:
    """Order ids are ordered by time."""
    ids = [await insert_row(connection, lease_epoch=1) for _ in range(9)]
    me = await worker(connection)
    assert await swept(connection, me, 4) == ids[:4]
    assert await swept(connection, me, 4) == ids[4:8]


async def test_a_release_gives_up_the_unfinished_and_fences_what_still_writes(connection: Connection) -> None:
    """Owner gone, epoch up by one, status as it was; others' orders and finished ones are untouched."""
    me, other = await worker(connection), await worker(connection)
    mine = [await owned(connection, status, me) for status in sorted(EXECUTABLE)]
    others = await owned(connection, Status.ROUTING, other)
    done = [await insert_row(connection, status, worker_id=me, lease_epoch=1) for status in sorted(TERMINAL)]
    before = await read(connection, mine[0])
    assert await claims.release(connection, me) == len(mine)
    assert [(await read(connection, order_id)).lease_epoch for order_id in mine] == [2] * len(mine)
    assert [(await read(connection, order_id)).lease_epoch for order_id in (others, *done)] == [1] * 4
    assert await door.move(connection, [from_order(before, Status.CANCELLED)]) == [None]
    assert set(await swept(connection, other)) == set(mine)


async def test_what_a_worker_owns_is_what_is_unfinished_and_due(connection: Connection) -> None:
    """For the comparison: a waiting retry is carried already, and finished orders are history."""
    me = await worker(connection)
    due = await insert_row(connection, Status.ROUTING, worker_id=me, lease_epoch=3)
    await insert_row(
        connection, Status.ROUTING, worker_id=me, lease_epoch=1, not_before=datetime.now(UTC) + timedelta(seconds=60)
    )
    await insert_row(connection, Status.CONFIRMED, worker_id=me, lease_epoch=1)
    await insert_row(connection, Status.ROUTING, worker_id=new_id(), lease_epoch=1)
    assert await claims.read_owned(connection, me) == {due: 3}


async def test_only_the_owner_reads_an_order_as_its_own(connection: Connection) -> None:
    """Who lost it learns so by reading."""
    me, other = await worker(connection), await worker(connection)
    order_id = await owned(connection, Status.ROUTING, me)
    assert await reading.read_own(connection, me, order_id) == await read(connection, order_id)
    assert await reading.read_own(connection, other, order_id) is None


async def test_a_heartbeat_is_one_row_in_the_databases_time(connection: Connection) -> None:
    """Beaten again it is fresh again; signed off or long dead it is gone."""
    me, dead = await worker(connection, beat_s_ago=60), await worker(connection, beat_s_ago=7_200)
    await claims.beat(connection, me, "host")
    fresh = "SELECT id FROM workers WHERE beat_at > clock_timestamp() - interval '5 seconds'"
    assert await (await connection.execute(fresh)).fetchall() == [(me,)]
    await claims.forget_dead_workers(connection)
    assert dead not in {row[0] for row in await (await connection.execute("SELECT id FROM workers")).fetchall()}
    await claims.sign_off(connection, me)
    assert await (await connection.execute("SELECT id FROM workers")).fetchall() == []


@pytest.mark.parametrize("step", ["1 hour", "1 day"])
async def test_times_from_before_a_step_of_the_servers_clock_hold_nothing(connection: Connection, step: str) -> None:
    """A heartbeat, a delay and a waiting time that lie ahead: the order is claimed as if the clock had not stepped."""
    dead = new_id()
    await connection.execute(
        "INSERT INTO workers (id, host, beat_at) VALUES (%s, 'gone', clock_timestamp() + %s::interval)", (dead, step)
    )
    orders = [
        await insert_row(connection, Status.SUBMITTED, worker_id=dead, lease_epoch=1),
        await insert_row(connection, Status.ROUTING, worker_id=None, lease_epoch=1),
        await insert_row(connection, Status.QUEUED),
    ]
    await connection.execute(
        "UPDATE orders SET not_before = clock_timestamp() + %s::interval WHERE id = %s", (step, orders[1])
    )
    await connection.execute(
        "UPDATE orders SET state_since = clock_timestamp() + %s::interval WHERE id = %s", (step, orders[2])
    )
    assert set(await swept(connection, await worker(connection), room=100)) >= set(orders)
