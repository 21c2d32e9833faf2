"""The heartbeat and the watch: when a worker may judge others, and when it must doubt itself; in virtual time."""

import asyncio

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from engine_common.errors import StoreUnavailable
from engine_worker.recovery import Heartbeat, watch
from support.virtual_time import VirtualClock, in_virtual_time, settle

LEASE_S = 5.0


class Database:
    """Takes heartbeats, or fails as it is told."""

    def __init__(self) -> None:
        self.beats: list[float] = []
        self.failure: Exception | None = None
        self.takes_s = 0.0

    async def beat(self) -> None:
        await asyncio.sleep(self.takes_s)
        if self.failure:
            raise self.failure
        self.beats.append(VirtualClock().monotonic())


def heartbeat(database: Database) -> Heartbeat:
    return Heartbeat(database.beat, VirtualClock(), LEASE_S)


@in_virtual_time
async def test_a_heart_beats_every_second() -> None:
    """For ever, from the event loop, so that a hung loop is seen."""
    database = Database()
    task = asyncio.create_task(heartbeat(database).run())
    await asyncio.sleep(10.5)
    task.cancel()
    assert database.beats == pytest.approx(range(11))


@in_virtual_time
async def test_a_worker_doubts_its_lease_from_the_start_and_after_a_lease_without_a_beat() -> None:
    """Others may have taken its orders since."""
    beating = heartbeat(Database())
    assert beating.doubtful
    await beating.beat()
    assert not beating.doubtful
    await asyncio.sleep(5)
    assert not beating.doubtful
    await asyncio.sleep(0.1)
    assert beating.doubtful


@in_virtual_time
async def test_a_beat_counts_from_before_it_was_sent() -> None:
    """The database's time of it lies somewhere between: the earlier is the safe side."""
    database = Database()
    database.takes_s = 4
    beating = heartbeat(database)
    await beating.beat()
    await asyncio.sleep(1.5)
    assert beating.doubtful


@in_virtual_time
async def test_a_worker_judges_others_only_after_two_beats_in_a_row() -> None:
    """After an outage of the database all survivors beat before anybody judges."""
    database = Database()
    beating = heartbeat(database)
    assert not beating.may_judge
    await beating.beat()
    assert not beating.may_judge
    await beating.beat()
    assert beating.may_judge
    database.failure = psycopg.OperationalError("gone")
    await beating.beat()
    assert not beating.may_judge
    database.failure = None
    await beating.beat()
    assert not beating.may_judge
    await beating.beat()
    assert beating.may_judge


@in_virtual_time
async def test_two_beats_of_long_ago_do_not_make_a_judge() -> None:
    """A worker whose own lease is in doubt declares nobody dead."""
    beating = heartbeat(Database())
    await beating.beat()
    await beating.beat()
    await asyncio.sleep(6)
    assert not beating.may_judge


@pytest.mark.parametrize(
    "failure",
    [psycopg.OperationalError("gone"), PoolTimeout("none"), ConnectionResetError("reset"), RuntimeError("a bug")],
)
@in_virtual_time
async def test_no_failure_stops_the_heart(failure: Exception) -> None:
    """It beats again as soon as it can: a worker whose heart has stopped would lose every order it carries."""
    database = Database()
    database.failure = failure
    task = asyncio.create_task(heartbeat(database).run())
    await asyncio.sleep(3.5)
    database.failure = None
    await asyncio.sleep(3)
    task.cancel()
    assert len(database.beats) == 3


class Watched:
    """Counts what the watch does."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failure: Exception | None = None

    async def compare(self) -> None:
        self.calls.append("compare")
        if self.failure:
            raise self.failure

    async def sweep(self) -> None:
        self.calls.append("sweep")


@in_virtual_time
async def test_once_a_second_it_compares_and_sweeps() -> None:
    """First what is ours, then what is nobody's."""
    database, watched = Database(), Watched()
    beating = heartbeat(database)
    await beating.beat()
    await beating.beat()
    task = asyncio.create_task(watch(beating, watched.compare, watched.sweep, VirtualClock()))
    await asyncio.sleep(2.5)
    task.cancel()
    assert watched.calls == ["compare", "sweep"] * 3


@in_virtual_time
async def test_without_two_beats_in_a_row_it_takes_nobodys_orders() -> None:
    """Not even at the start."""
    database, watched = Database(), Watched()
    beating = heartbeat(database)
    task = asyncio.create_task(watch(beating, watched.compare, watched.sweep, VirtualClock()))
    await beating.beat()
    await asyncio.sleep(3)
    assert "sweep" not in watched.calls
    await beating.beat()
    await asyncio.sleep(1.5)
    task.cancel()
    assert "sweep" in watched.calls


@pytest.mark.parametrize("failure", [psycopg.OperationalError("gone"), StoreUnavailable("no"), RuntimeError("a bug")])
@in_virtual_time
async def test_no_failure_ends_the_watch(failure: Exception) -> None:
    """It looks again a second later."""
    database, watched = Database(), Watched()
    beating = heartbeat(database)
    await beating.beat()
    await beating.beat()
    watched.failure = failure
    task = asyncio.create_task(watch(beating, watched.compare, watched.sweep, VirtualClock()))
    await settle()
    watched.failure = None
    await asyncio.sleep(1.5)
    task.cancel()
    assert watched.calls[-2:] == ["compare", "sweep"]


@in_virtual_time
async def test_after_a_beat_that_came_too_late_two_more_are_needed() -> None:
    """The process or the database stood still beyond the lease: all survivors must be heard before anybody judges."""
    clock = VirtualClock()

    async def beat() -> None:
        pass

    heart = Heartbeat(beat, clock, lease_s=5)
    await heart.beat()
    await clock.sleep(1)
    await heart.beat()
    assert heart.may_judge
    await clock.sleep(6)
    await heart.beat()
    assert not heart.may_judge
    await clock.sleep(1)
    await heart.beat()
    assert heart.may_judge
