"""Group commit against a database that the test plays: what goes together, and what becomes of each item."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from engine_common.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from engine_common.store.group_commit import GroupCommit
from engine_common.store.pool import TurnedReadOnly
from support.virtual_time import in_virtual_time, settle


class Database:
    """Answers every flush after `takes_s`; while `down`, no connection is lent."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.down = False
        self.flushes: list[list[str]] = []
        self.failures: list[BaseException] = []
        self.poison: dict[str, Exception] = {}

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[object]:
        await asyncio.sleep(0)
        if self.down:
            await asyncio.sleep(2)
            raise PoolTimeout("no connection")
        yield object()

    async def write(self, _connection: object, items: Sequence[str]) -> list[str]:
        self.flushes.append(list(items))
        await asyncio.sleep(self.takes_s)
        if self.failures:
            raise self.failures.pop(0)
        for item in items:
            if item in self.poison:
                raise self.poison[item]
        return [f"{item} written" for item in items]

    def commit(self, **options: int) -> GroupCommit[str, str]:
        return GroupCommit("test", self.lend, self.write, key=lambda item: item.split("#")[0], **options)


@in_virtual_time
async def test_an_idle_one_flushes_at_once() -> None:
    """No timer delays a lone item."""
    database = Database()
    assert await database.commit().submit("a") == "a written"
    assert asyncio.get_running_loop().time() == 0


@in_virtual_time
async def test_what_arrives_during_a_flush_goes_together_in_the_next() -> None:
    """A busy system batches by itself: two flushes for a hundred items."""
    database = Database(takes_s=1)
    commit = database.commit()
    first = asyncio.create_task(commit.submit("first"))
    await settle()
    rest = [asyncio.create_task(commit.submit(f"item {i}")) for i in range(100)]
    await asyncio.gather(first, *rest)
    assert [len(flush) for flush in database.flushes] == [1, 100]


@in_virtual_time
async def test_a_flush_carries_at_most_max_batch_items_in_order_of_arrival() -> None:
    """What does not fit waits for the next flush and overtakes nobody."""
    database = Database(takes_s=1)
    commit = database.commit(max_batch=3)
    await asyncio.gather(*(commit.submit(str(i)) for i in range(8)))
    assert database.flushes == [["0", "1", "2"], ["3", "4", "5"], ["6", "7"]]


@in_virtual_time
async def test_a_key_stands_in_a_flush_at_most_once() -> None:
    """A second transition of an order waits for the flush after, in order."""
    database = Database()
    commit = database.commit()
    await asyncio.gather(*(commit.submit(item) for item in ("a#1", "b#1", "a#2", "a#3", "b#2")))
    assert database.flushes == [["a#1", "b#1"], ["a#2", "b#2"], ["a#3"]]


@pytest.mark.parametrize("refusal", [errors.NumericValueOutOfRange, errors.CheckViolation, errors.RaiseException])
@in_virtual_time
async def test_a_poisoned_row_fails_alone(refusal: type[psycopg.Error]) -> None:
    """Classes 22 and 23 and P0001: the batch is split until only the refused row is left out."""
    database = Database()
    database.poison["5"] = refusal("no")
    commit = database.commit()
    results = await asyncio.gather(*(commit.submit(str(i)) for i in range(9)), return_exceptions=True)
    assert isinstance(results.pop(5), StoreRefused)
    assert results == [f"{i} written" for i in range(9) if i != 5]


@in_virtual_time
async def test_a_row_that_cannot_even_be_sent_fails_alone() -> None:
    """A value that the encoder refuses never reaches the server; its neighbours do."""
    database = Database()
    database.poison["1"] = TypeError("Integer exceeds 64-bit range")
    commit = database.commit()
    results = await asyncio.gather(*(commit.submit(str(i)) for i in range(3)), return_exceptions=True)
    assert isinstance(results[1], StoreRefused)
    assert [results[0], results[2]] == ["0 written", "2 written"]


@pytest.mark.parametrize("contention", [errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable])
@in_virtual_time
async def test_contention_repeats_the_whole_batch(contention: type[psycopg.Error]) -> None:
    """40P01, 40001 and 55P03 say nothing about any row."""
    database = Database()
    database.failures = [contention("try again")]
    commit = database.commit()
    results = await asyncio.gather(commit.submit("a"), commit.submit("b"))
    assert results == ["a written", "b written"]
    assert database.flushes == [["a", "b"], ["a", "b"]]


@pytest.mark.parametrize("loss", [psycopg.OperationalError("server closed the connection"), TurnedReadOnly("standby")])
@in_virtual_time
async def test_a_flush_whose_connection_broke_is_repeated_unchanged(loss: Exception) -> None:
    """What arrived meanwhile waits for the flush after."""
    database = Database(takes_s=1)
    database.failures = [loss]
    commit = database.commit()
    first = asyncio.create_task(commit.submit("a"))
    await settle()
    second = asyncio.create_task(commit.submit("b"))
    assert await asyncio.gather(first, second) == ["a written", "b written"]
    assert database.flushes == [["a"], ["a"], ["b"]]


@in_virtual_time
async def test_an_outage_is_spoken_of_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """Not with every repetition: a minute of it is a handful of lines."""
    database = Database()
    database.down = True
    submitted = asyncio.create_task(database.commit().submit("a"))
    await asyncio.sleep(60)
    database.down = False
    await submitted
    assert 5 <= caplog.text.count("PostgreSQL did not answer") <= 7


@in_virtual_time
async def test_another_error_of_the_database_reaches_whoever_waits_and_leaves_the_rest_working() -> None:
    """A statement that is wrong in itself must not be repeated for ever."""
    database = Database()
    database.failures = [errors.UndefinedColumn("a bug")]
    commit = database.commit()
    with pytest.raises(errors.UndefinedColumn):
        await commit.submit("a")
    assert await commit.submit("b") == "b written"


@in_virtual_time
async def test_nothing_sent_in_time_is_unavailable_and_never_written_later() -> None:
    """503 `unavailable` is only for a row that was in no flush and was taken out before the answer."""
    database = Database()
    database.down = True
    commit = database.commit()
    with pytest.raises(StoreUnavailable):
        await commit.submit("a", within_s=1)
    database.down = False
    assert await commit.submit("b") == "b written"
    await commit.close()
    assert database.flushes == [["b"]]


@in_virtual_time
async def test_sent_and_not_answered_in_time_is_an_unknown_outcome() -> None:
    """The row may have been committed."""
    database = Database(takes_s=10)
    commit = database.commit()
    with pytest.raises(OutcomeUnknown):
        await commit.submit("a", within_s=2)
    await commit.close()


@in_virtual_time
async def test_an_item_sent_once_and_repeated_in_vain_stays_unknown() -> None:
    """The first sending may have landed, however long the database is away afterwards."""
    database = Database()
    database.failures = [psycopg.OperationalError("broken")]
    commit = database.commit()
    task = asyncio.create_task(commit.submit("a", within_s=2))
    await settle()
    database.down = True
    with pytest.raises(OutcomeUnknown):
        await task
    await commit.close()


@in_virtual_time
async def test_an_abandoned_item_is_left_out_of_the_repeated_flush() -> None:
    """Nobody waits for it any more, and its caller was told what is known."""
    database = Database(takes_s=1)
    database.failures = [psycopg.OperationalError("broken")]
    commit = database.commit()
    kept = asyncio.create_task(commit.submit("kept"))
    await asyncio.sleep(0)
    with pytest.raises(OutcomeUnknown):
        await commit.submit("abandoned", within_s=0.5)
    assert await kept == "kept written"
    assert database.flushes == [["kept", "abandoned"], ["kept"]]


@in_virtual_time
async def test_a_cancelled_waiter_takes_its_unsent_item_with_it() -> None:
    """Its neighbours in the buffer are written."""
    database = Database(takes_s=1)
    commit = database.commit()
    first = asyncio.create_task(commit.submit("first"))
    await settle()
    cancelled, kept = asyncio.create_task(commit.submit("cancelled")), asyncio.create_task(commit.submit("kept"))
    await settle()
    cancelled.cancel()
    assert await asyncio.gather(first, kept) == ["first written", "kept written"]
    assert database.flushes == [["first"], ["kept"]]


@in_virtual_time
async def test_a_cancelled_waiter_does_not_disturb_the_flush_that_carries_its_item() -> None:
    """The statement runs to its end, for the others and for what it wrote."""
    database = Database(takes_s=1)
    commit = database.commit()
    cancelled, kept = asyncio.create_task(commit.submit("cancelled")), asyncio.create_task(commit.submit("kept"))
    await settle()
    cancelled.cancel()
    assert await kept == "kept written"
    assert database.flushes == [["cancelled", "kept"]]


@in_virtual_time
async def test_close_waits_for_everything_submitted() -> None:
    """A stopping process does not leave a flush behind."""
    database = Database(takes_s=1)
    commit = database.commit()
    tasks = [asyncio.create_task(commit.submit(item)) for item in ("a#1", "a#2")]
    await settle()
    await commit.close()
    assert database.flushes == [["a#1"], ["a#2"]]
    assert await asyncio.gather(*tasks) == ["a#1 written", "a#2 written"]


@in_virtual_time
async def test_each_flush_that_was_written_is_reported() -> None:
    """For the metric of batch sizes."""
    database = Database()
    reported: list[int] = []
    commit = GroupCommit(
        "test", database.lend, database.write, key=lambda item: item, on_flush=lambda items: reported.append(len(items))
    )
    await asyncio.gather(*(commit.submit(str(i)) for i in range(4)))
    assert reported == [4]


async def test_when_lending_fails_for_good_all_who_wait_hear_of_it() -> None:
    """A pool that is closed or misconfigured is no passing trouble: nobody waits for ever, and nothing spins."""

    @asynccontextmanager
    async def broken() -> AsyncIterator[object]:
        raise LookupError("there is no such pool")
        yield

    commits: GroupCommit[int, int] = GroupCommit("broken", broken, _never_written, key=lambda item: item)
    for outcome in await asyncio.gather(*(commits.submit(item) for item in range(3)), return_exceptions=True):
        assert isinstance(outcome, LookupError)
    await commits.close()


async def _never_written(_connection: object, _items: Sequence[int]) -> Sequence[int]:
    raise AssertionError("nothing can be written without a connection")
