"""Live events: published in order, bounded, and never in the way of an order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import orjson
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from devstack.ports import free_port
from engine_common import live
from engine_common.orders import Event
from support.orders import WALLET, new_id
from support.waiting import eventually

ORDER = new_id()


def event(seq: int) -> Event:
    return Event(ORDER, seq, "status", "routing", "queued", 1, datetime.now(UTC), {})


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[live.Publisher]:
    opened = live.Publisher(live.connect(redis_url))
    yield opened
    await opened.close()


@pytest.fixture
async def subscription(redis_url: str) -> AsyncIterator[PubSub]:
    async with Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(live.order_channel(ORDER), live.wallet_channel("mine", WALLET))
        await pubsub.get_message(ignore_subscribe_messages=False, timeout=10)
        await pubsub.get_message(ignore_subscribe_messages=False, timeout=10)
        yield pubsub


async def received(subscription: PubSub, count: int) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while len(found) < count:
        message = await subscription.get_message(timeout=10)
        assert message is not None, f"only {len(found)} of {count} messages came"
        found.append((message["channel"].decode(), orjson.loads(message["data"])["seq"]))
    return found


async def test_an_event_goes_to_the_orders_and_the_wallets_channel(
    publisher: live.Publisher, subscription: PubSub
) -> None:
    """As the event object of the public interface; the wallet's channel names the account."""
    publisher.publish(event(1), "mine", WALLET)
    assert sorted(await received(subscription, 2)) == sorted([(f"order:{ORDER}", 1), (f"wallet:mine:{WALLET}", 1)])


async def test_events_are_published_in_the_order_of_their_commits(
    publisher: live.Publisher, subscription: PubSub
) -> None:
    """Over many batches, on each channel."""
    for seq in range(1, 1_301):
        publisher.publish(event(seq), "mine", WALLET)
    found = await received(subscription, 2_600)
    for channel in (f"order:{ORDER}", f"wallet:mine:{WALLET}"):
        assert [seq for name, seq in found if name == channel] == list(range(1, 1_301))


async def test_with_redis_dead_publishing_neither_raises_nor_waits_nor_grows(caplog: pytest.LogCaptureFixture) -> None:
    """Sockets read PostgreSQL meanwhile: events are dropped, and it is said once a failure, not once an event."""
    publisher = live.Publisher(live.connect(f"redis://127.0.0.1:{free_port()}/0"))
    for seq in range(20_100):
        publisher.publish(event(seq), "mine", WALLET)
    assert len(publisher._buffer) == 20_000
    await asyncio.sleep(0.2)
    assert len(publisher._buffer) == 0
    await publisher.close()
    assert len(caplog.records) == 1


async def test_after_an_outage_new_events_are_published_again(
    publisher: live.Publisher, subscription: PubSub, redis_url: str
) -> None:
    """By itself, on the same publisher."""
    publisher.publish(event(1), "mine", WALLET)
    await received(subscription, 2)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()  # as a restart does
        await client.client_kill_filter(_type="normal", skipme=True)
    for seq in range(2, 1_000):
        publisher.publish(event(seq), "mine", WALLET)
        await asyncio.sleep(0.01)
        message = await subscription.get_message(timeout=0.01)
        if message is not None:
            break
    else:
        pytest.fail("no event came after the connections had been cut")


class ClosingRedis:
    """A client whose connection closes, under uvloop, while the first batch is written."""

    def __init__(self) -> None:
        self.batches = 0

    def register_script(self, _script: str) -> Callable[..., Awaitable[None]]:
        async def run(args: list[object]) -> None:
            assert args
            self.batches += 1
            if self.batches == 1:
                raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        return run

    async def aclose(self) -> None:
        pass


async def test_a_connection_that_closes_while_it_is_written_to_is_an_outage_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RuntimeError is what uvloop raises then, and redis-py passes it on: found by killing Valkey under load."""
    client = ClosingRedis()
    publisher = live.Publisher(cast("Redis", client))
    publisher.publish(event(1), "mine", WALLET)
    await eventually(lambda: len(caplog.records) == 1)
    publisher.publish(event(2), "mine", WALLET)
    await eventually(lambda: client.batches == 2)
    await publisher.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_closing_sends_what_is_left(publisher: live.Publisher, subscription: PubSub) -> None:
    """A stopping worker's last events reach the sockets."""
    publisher.publish(event(7), "mine", WALLET)
    await publisher.close()
    assert len(await received(subscription, 2)) == 2
