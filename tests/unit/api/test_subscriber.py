"""When a channel counts as heard, however subscriptions and confirmations interleave."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine_api.streams.subscriber import Subscriber
from support.virtual_time import settle


class Redis:
    """The other end of the connection: what it was told, and the listener's notes of what it confirmed."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.notes: list[str] = []

    async def send_command(self, *command: str) -> None:
        self.commands.append(command)

    def received(self, channel: str, payload: bytes) -> None:
        self.notes.append(f"{channel}: {payload.decode()}")

    def confirmed(self, channel: str) -> None:
        self.notes.append(f"{channel} confirmed")

    def lost(self) -> None:
        self.notes.append("lost")


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
async def subscriber(redis: Redis) -> AsyncIterator[Subscriber]:
    """Keep subscriptions over a connection that only the test answers."""
    keeping = Subscriber("redis://127.0.0.1:1", redis)
    writing = asyncio.create_task(keeping._write(redis))
    yield keeping
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


def confirm(subscriber: Subscriber, channel: str) -> None:
    subscriber._take([b"subscribe", channel.encode(), 1])


async def test_a_channel_is_heard_from_its_confirmation_on(subscriber: Subscriber, redis: Redis) -> None:
    """Asking for it is not enough."""
    subscriber.subscribe("a")
    await settle()
    assert redis.commands == [("SUBSCRIBE", "a")]
    assert not subscriber.hears("a")
    confirm(subscriber, "a")
    assert subscriber.hears("a")
    subscriber._take([b"message", b"a", b"hello"])
    assert redis.notes == ["a confirmed", "a: hello"]


async def test_what_is_taken_back_at_once_is_never_asked_for(subscriber: Subscriber, redis: Redis) -> None:
    """Nor is what was taken back and asked for again ever left."""
    subscriber.subscribe("a")
    subscriber.unsubscribe("a")
    subscriber.subscribe("b")
    await settle()
    confirm(subscriber, "b")
    subscriber.unsubscribe("b")
    subscriber.subscribe("b")
    await settle()
    assert redis.commands == [("SUBSCRIBE", "b")]
    assert subscriber.hears("b")


async def test_a_confirmation_of_before_does_not_count_for_a_new_subscription(
    subscriber: Subscriber, redis: Redis
) -> None:
    """Between the two the channel was not subscribed, and messages were missed."""
    subscriber.subscribe("a")
    await settle()
    subscriber.unsubscribe("a")
    await settle()
    subscriber.subscribe("a")
    await settle()
    assert redis.commands == [("SUBSCRIBE", "a"), ("UNSUBSCRIBE", "a"), ("SUBSCRIBE", "a")]
    confirm(subscriber, "a")
    assert not subscriber.hears("a")
    confirm(subscriber, "a")
    assert subscriber.hears("a")


async def test_a_channel_that_was_left_is_not_heard_however_late_its_confirmation(
    subscriber: Subscriber, redis: Redis
) -> None:
    """Asked for again before that is sent, it is heard with the confirmation that was outstanding."""
    subscriber.subscribe("a")
    await settle()
    subscriber.unsubscribe("a")
    subscriber.subscribe("a")
    confirm(subscriber, "a")
    assert subscriber.hears("a")
    subscriber.unsubscribe("a")
    await settle()
    assert not subscriber.hears("a")
    assert redis.notes == ["a confirmed"]


async def test_thousands_of_channels_go_in_few_commands(subscriber: Subscriber, redis: Redis) -> None:
    """When a process reconnects with all its sockets."""
    for number in range(2_500):
        subscriber.subscribe(f"channel {number}")
    await settle()
    assert [len(command) - 1 for command in redis.commands] == [1000, 1000, 500]


class ClosedConnection:
    """A connection that closed, under uvloop, in the moment of being written to."""

    async def send_command(self, *_command: str) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def test_a_connection_that_closes_while_it_is_written_to_is_lost_like_any_other(redis: Redis) -> None:
    """RuntimeError is what uvloop raises then, and redis-py passes it on: no exception that nobody foresaw."""
    keeping = Subscriber("redis://127.0.0.1:1", redis)
    keeping.subscribe("a")
    for work in (keeping._write(ClosedConnection()), keeping._watch(ClosedConnection())):
        with pytest.raises(ConnectionError):
            await work
