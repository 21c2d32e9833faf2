"""How messages reach the event loop: at the ring of a doorbell, few at a time, acknowledged when they are taken."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from dramatiq.brokers.redis import _RedisConsumer
from redis.asyncio import Redis

from devstack import servers
from devstack.ports import free_port
from engine_common import queue
from engine_worker.delivery import PREFETCH, THREADS, Delivery, DoorbellBroker, DoorbellConsumer
from support.orders import TRACEPARENT, new_id
from support.placing import announce
from support.waiting import eventually


class Inbox:
    """Takes what is delivered; while it is `full`, as an engine without room does, it takes its time."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[UUID], str | None]] = []
        self.offered = 0
        self.room = asyncio.Event()
        self.room.set()
        self.failure: Exception | None = None
        self.threads: set[int] = set()

    async def accept(self, ids: Sequence[UUID], woken_by: str | None) -> None:
        self.offered += 1
        self.threads.add(threading.get_ident())
        if self.failure:
            raise self.failure
        await self.room.wait()
        self.taken.append((list(ids), woken_by))


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def delivery(redis_url: str, inbox: Inbox) -> AsyncIterator[Delivery]:
    opened = Delivery(redis_url, inbox.accept, asyncio.get_running_loop())
    opened.start()
    yield opened
    inbox.room.set()
    await opened.stop()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def waits_for_the_bell(redis: Redis) -> bool:
    return any(client["cmd"] == "blmove" for client in await redis.client_list())


async def left_in_redis(redis: Redis) -> int:
    """Count the messages that are not acknowledged."""
    return await redis.hlen(f"dramatiq:{queue.QUEUE}.msgs")


@pytest.mark.usefixtures("delivery")
async def test_a_message_brings_its_ids_and_its_senders_context(inbox: Inbox, redis: Redis, redis_url: str) -> None:
    """On the event loop, not in a thread of Dramatiq's."""
    ids = [new_id() for _ in range(3)]
    await announce(redis_url, ids)
    await eventually(lambda: inbox.taken)
    assert inbox.taken == [(ids, TRACEPARENT)]
    assert inbox.threads == {threading.get_ident()}
    await eventually(lambda: nothing_left(redis))


async def nothing_left(redis: Redis) -> bool:
    return await left_in_redis(redis) == 0


async def test_an_idle_consumer_waits_at_the_bell_instead_of_polling(tmp_path: Path, inbox: Inbox) -> None:
    """It is blocked in Redis when a message comes: each wait costs one look, never a growing number of sleeps."""
    with servers.valkey(tmp_path) as url:  # of its own: what is counted are the commands of the whole server
        delivery = Delivery(url, inbox.accept, asyncio.get_running_loop())
        delivery.start()
        async with Redis.from_url(url) as redis:
            await eventually(lambda: waits_for_the_bell(redis))
            await redis.config_resetstat()
            await asyncio.sleep(2.5)
            stats = await redis.info("commandstats")
            waits, looks = (stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("blmove", "evalsha"))
            assert waits >= 1
            # The stock consumer of the delay queue looks as well, backing off to once a second.
            assert looks <= 2 * waits + 12
            await eventually(lambda: waits_for_the_bell(redis))
        await announce(url, [new_id()])
        await eventually(lambda: inbox.taken)
        await delivery.stop()


async def test_the_bell_changes_nothing_in_the_queue(redis: Redis, redis_url: str) -> None:
    """A message is moved onto itself: it stays first, and other workers can take it."""
    for _ in range(3):
        await announce(redis_url, [new_id()])
    before = await redis.lrange(f"dramatiq:{queue.QUEUE}", 0, -1)
    key = f"dramatiq:{queue.QUEUE}"
    assert await redis.blmove(key, key, 1, "LEFT", "LEFT") == before[0]
    assert await redis.lrange(key, 0, -1) == before


async def test_only_the_queue_itself_has_a_bell(redis_url: str) -> None:
    """Delayed messages, which the engine does not send, are polled as ever."""
    broker = DoorbellBroker(client=queue.connect(redis_url), middleware=[])
    broker.declare_queue(queue.QUEUE)
    rings, polls = broker.consume(queue.QUEUE), broker.consume(f"{queue.QUEUE}.DQ")
    assert isinstance(rings, DoorbellConsumer)
    assert type(polls) is _RedisConsumer
    broker.close()


@pytest.mark.usefixtures("delivery")
async def test_a_message_is_acknowledged_only_when_it_is_taken_care_of(
    inbox: Inbox, redis: Redis, redis_url: str
) -> None:
    """Until then another worker may get it, should this one die."""
    inbox.room.clear()
    await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.offered)
    assert await left_in_redis(redis) == 1
    inbox.room.set()
    await eventually(lambda: nothing_left(redis))


@pytest.mark.usefixtures("delivery")
async def test_without_room_only_a_few_messages_are_taken_out_of_the_queue(
    inbox: Inbox, redis: Redis, redis_url: str
) -> None:
    """Bounded memory whatever the queue's length, and the rest stays for workers that have room."""
    inbox.room.clear()
    for _ in range(20):
        await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.offered == THREADS)
    await asyncio.sleep(0.3)
    assert await redis.llen(f"dramatiq:{queue.QUEUE}") >= 20 - THREADS - PREFETCH
    inbox.room.set()
    await eventually(lambda: len(inbox.taken) == 20)


@pytest.mark.usefixtures("delivery")
async def test_a_message_that_cannot_be_handled_does_not_stop_the_next(
    inbox: Inbox, redis: Redis, redis_url: str
) -> None:
    """It is not repeated either: the sweep finds its orders."""
    inbox.failure = RuntimeError("a bug")
    await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.offered)
    await eventually(lambda: nothing_left(redis))
    inbox.failure = None
    await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.taken)
    assert inbox.offered == 2


@pytest.mark.usefixtures("delivery")
async def test_a_message_of_nonsense_does_not_stop_the_next(inbox: Inbox, redis_url: str) -> None:
    """Whatever somebody put into the queue."""
    broker = queue.make_sender(redis_url)
    nonsense = queue.execution_message([new_id()], None)
    await asyncio.to_thread(broker.enqueue, nonsense.copy(args=(["no-uuid"],)))
    await asyncio.to_thread(broker.enqueue, nonsense.copy(args=(), message_id="2"))
    await asyncio.to_thread(broker.enqueue, nonsense.copy(actor_name="nobody", message_id="3"))
    broker.close()
    await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.taken)


async def test_what_a_stopping_worker_fetched_and_did_not_begin_goes_back(
    inbox: Inbox, redis: Redis, redis_url: str
) -> None:
    """Another worker gets it at once."""
    inbox.room.clear()
    delivery = Delivery(redis_url, inbox.accept, asyncio.get_running_loop())
    delivery.start()
    for _ in range(10):
        await announce(redis_url, [new_id()])
    await eventually(lambda: inbox.offered == THREADS)
    stopping = asyncio.create_task(delivery.stop())
    await asyncio.sleep(0.2)
    inbox.room.set()
    await stopping
    assert len(inbox.taken) == THREADS
    assert await redis.llen(f"dramatiq:{queue.QUEUE}") == 10 - THREADS


async def test_a_restart_of_redis_is_recovered_from(tmp_path: Path, inbox: Inbox) -> None:
    """By itself: the next message rings again."""
    port = free_port()
    with servers.valkey(tmp_path, port) as url:
        delivery = Delivery(url, inbox.accept, asyncio.get_running_loop())
        delivery.start()
        assert await delivery.ping()
        await announce(url, [new_id()])
        await eventually(lambda: inbox.taken)
    assert not await delivery.ping()
    with servers.valkey(tmp_path, port):
        await announce(url, [new_id()])
        await eventually(lambda: len(inbox.taken) == 2)
        assert await delivery.ping()
        await delivery.stop()


async def test_it_stops_while_redis_is_away(inbox: Inbox) -> None:
    """And starts, too."""
    delivery = Delivery(f"redis://127.0.0.1:{free_port()}/0", inbox.accept, asyncio.get_running_loop())
    delivery.start()
    await asyncio.sleep(0.1)
    await delivery.stop()
    assert not await delivery.ping()
