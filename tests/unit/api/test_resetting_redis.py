"""Under uvloop, as in production, a Redis whose connections are reset at once: an outage like any other."""

import asyncio
import gc
import itertools
import socket
import struct
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import redis.asyncio as redis
import uvloop
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine_api.access.tally import Tally
from engine_api.health import Health
from engine_api.streams.subscriber import Subscriber

# Where a write meets a transport that closed a moment ago, uvloop raises RuntimeError: each moment is tried often.
TIMES = 600
STEPS = 20
STEP_S = 0.000_02


@pytest.fixture
def resetting_url() -> Iterator[str]:
    """Accept connections and reset them, as a proxy does whose Redis is away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=_reset_all, args=(listener,))
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _reset_all(listener: socket.socket) -> None:
    for number in itertools.count():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            time.sleep(number % STEPS * STEP_S)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Silence:
    """A listener that hears nothing."""

    def received(self, channel: str, payload: bytes) -> None:
        raise AssertionError(f"{payload!r} came on {channel}")

    def confirmed(self, channel: str) -> None:
        raise AssertionError(f"{channel} was confirmed")

    def lost(self) -> None:
        pass


def test_live_events_are_away_and_no_exception_is_unforeseen(
    resetting_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Sockets read PostgreSQL meanwhile; it is said once."""

    async def connect_again_and_again() -> None:
        subscriber = Subscriber(resetting_url, Silence())
        for _ in range(TIMES):
            async with asyncio.timeout(10):
                await subscriber._connected()
            assert subscriber.away

    uvloop.run(connect_again_and_again())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_health_says_that_redis_is_down(resetting_url: str) -> None:
    """And answers."""

    def never() -> None:
        raise AssertionError("PostgreSQL is not asked")

    async def ask_again_and_again() -> set[bool]:
        client = redis.Redis.from_url(resetting_url, retry=Retry(NoBackoff(), 0))
        health = Health(never, client)  # type: ignore[arg-type]  # lends nothing
        answers = {await health._redis_answers() for _ in range(TIMES)}
        await client.aclose()
        return answers

    assert uvloop.run(ask_again_and_again()) == {False}


def test_nothing_is_counted_and_nothing_fails(resetting_url: str) -> None:
    """Rate limits do not apply meanwhile; whoever asked is let in."""

    async def hit_again_and_again() -> tuple[set[int | None], list[dict[str, object]]]:
        unforeseen: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unforeseen.append(context))
        counts: set[int | None] = set()
        for _ in range(TIMES):
            tally = Tally(resetting_url)  # a new one has not noticed yet that Redis is away
            counts.add(await tally.hit("window", 1))
            await tally.close()
        gc.collect()  # a task that failed is spoken of at its end
        return counts, unforeseen

    assert uvloop.run(hit_again_and_again()) == ({None}, [])
