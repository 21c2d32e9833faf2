"""Rate limits: so many requests of a key, in all processes together, and none of it without Redis."""

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from engine_api.access.tally import Tally
from integration.api import outages
from integration.api.running_api import BODY, UNKNOWN, Answer, running_api
from support.waiting import eventually

# Windows so long that no test sees two of them.
FEW: dict[str, Any] = {"api_keys": "a:a,a:a2,b:b", "rate_limit_reads": "4/day", "rate_limit_writes": "2/day"}


def left(answer: Answer) -> int:
    """Return what is left of the quota, once it is sure that the headers are what the draft describes."""
    (policy,) = re.findall(r'^"(reads|writes)";q=(\d+);w=(\d+)$', answer.headers["ratelimit-policy"])
    (state,) = re.findall(r'^"(reads|writes)";r=(\d+);t=(\d+)$', answer.headers["ratelimit"])
    assert policy[0] == state[0]
    assert 0 < int(state[2]) <= int(policy[2])
    return int(state[1])


async def test_reads_and_writes_are_counted_apart_and_by_key(shared_database_url: str, redis_url: str) -> None:
    """Refusals count, probes do not; another key of the same account has a quota of its own."""
    async with running_api(shared_database_url, redis_url, **FEW) as api:
        a = api.holding("a")
        assert [left(await a.get("/api/orders?limit=1")) for _ in range(3)] == [3, 2, 1]
        assert left(await a.get(f"/api/orders/{UNKNOWN}")) == 0
        assert [left(await a.post("/api/orders", body)) for body in (BODY, {})] == [1, 0]
        for refused in (await a.get("/api/orders"), await a.post("/api/orders", BODY)):
            assert refused.problem(429, "rate_limited")["retryable"] is True
            assert left(refused) == 0
            assert 0 < int(refused.headers["retry-after"]) <= 86400
        assert (await a.get("/livez")).status == 200
        for other in ("a2", "b"):
            assert left(await api.holding(other).get("/api/orders?limit=1")) == 3
        unknown = await api.holding("wrong").get("/api/orders")
        assert not {"ratelimit", "ratelimit-policy"} & {name.lower() for name in unknown.headers}


async def test_several_processes_share_a_quota(shared_database_url: str, redis_url: str) -> None:
    """It is kept in Redis."""
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(running_api(shared_database_url, redis_url, **FEW)) for _ in range(2)]
        answers = [await api.holding("a").get("/api/orders?limit=1") for api in apis * 3]
    assert [answer.status for answer in answers] == [200] * 4 + [429] * 2


async def test_requests_at_once_are_counted_one_by_one(shared_database_url: str, redis_url: str) -> None:
    """However many are counted in one round trip: exactly as many pass as may, and each hears another number."""
    limits: dict[str, Any] = {"api_keys": "a:a", "rate_limit_reads": "30/day"}
    async with running_api(shared_database_url, redis_url, **limits) as api:
        a = api.holding("a")
        answers = await asyncio.gather(*(a.get("/api/orders?limit=1") for _ in range(50)))
    passed = [answer for answer in answers if answer.status == 200]
    assert sorted(left(answer) for answer in passed) == list(range(30))
    assert {answer.status for answer in answers} == {200, 429}


async def test_several_limits_hold_at_once(shared_database_url: str, redis_url: str) -> None:
    """Each is told of, and the narrowest decides."""
    limits: dict[str, Any] = {"api_keys": "a:a", "rate_limit_reads": "100/hour;2/day"}
    async with running_api(shared_database_url, redis_url, **limits) as api:
        a = api.holding("a")
        first = await a.get("/api/orders?limit=1")
        await a.get("/api/orders?limit=1")
        third = await a.get("/api/orders?limit=1")
    assert first.headers["ratelimit-policy"] == '"reads-3600s";q=100;w=3600, "reads-86400s";q=2;w=86400'
    assert re.fullmatch(r'"reads-3600s";r=99;t=\d+, "reads-86400s";r=1;t=\d+', first.headers["ratelimit"])
    third.problem(429, "rate_limited")


async def test_sockets_read_when_they_open_and_write_when_they_place(shared_database_url: str, redis_url: str) -> None:
    """1013 for the one too many: come back later; an order that is not placed is answered with the problem."""
    async with running_api(shared_database_url, redis_url, **FEW) as api:
        a = api.holding("a")
        for expected in ("queued", "queued", None):
            async with a.listening("/api/orders/execute") as ear:
                await ear.connection.send(json.dumps(BODY))
                (message,) = await ear.hear(1)
                if expected is None:
                    assert (message["code"], message["status"]) == ("rate_limited", 429)
                    assert await ear.closed() == 1013
                else:
                    assert message["status"] == expected
        async with a.listening("/ws?wallet=w") as last:
            assert last.connection.response is not None
            assert last.connection.response.headers["ratelimit"].startswith('"reads";r=0;t=')
        async with a.listening("/ws?wallet=w") as one_too_many:
            assert await one_too_many.closed() == 1013
            assert "too many reads" in one_too_many.reason


@pytest.mark.parametrize("settings", [{}, {"api_keys": "a:a", "rate_limit_reads": "off"}])
async def test_without_keys_or_limits_nothing_is_counted(
    shared_database_url: str, redis_url: str, redis: Redis, settings: dict[str, Any]
) -> None:
    """And nothing is said of it."""
    async with running_api(shared_database_url, redis_url, **settings) as api:
        answer = await api.holding("a").get("/api/orders?limit=1")
    assert answer.status == 200
    assert not {"ratelimit", "ratelimit-policy"} & {name.lower() for name in answer.headers}
    assert redis.keys("ratelimit:*") == []


async def test_what_is_counted_is_forgotten_and_names_no_key(
    shared_database_url: str, redis_url: str, redis: Redis
) -> None:
    """Each window's count expires with it; in Redis a key is a part of its hash."""
    limits: dict[str, Any] = {"api_keys": "a:open-sesame", "rate_limit_reads": "5/minute"}
    async with running_api(shared_database_url, redis_url, **limits) as api:
        await api.holding("open-sesame").get("/api/orders?limit=1")
    names: Any = redis.keys("ratelimit:*")
    assert len(names) == 1
    assert b"open-sesame" not in names[0]
    ttl: Any = redis.ttl(names[0])
    assert 0 < ttl <= 60


async def test_a_stall_of_the_api_is_not_an_outage_of_redis(redis_url: str) -> None:
    """The answer lies there already when the loop turns again: the hit counts, wherever the stall has met it."""
    tally = Tally(redis_url)
    try:
        assert await tally.hit("window", 60) == 1
        for turns in range(12):
            hit = asyncio.create_task(tally.hit("window", 60))
            for _ in range(turns):
                await asyncio.sleep(0)
            time.sleep(0.15)  # noqa: ASYNC251 - the stall
            assert await hit == turns + 2
    finally:
        await tally.close()


async def test_one_answer_that_is_late_is_not_an_outage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The hit is not counted, the next one is; two in a row are an outage."""
    valkey = outages.valkey(tmp_path)
    valkey.up()
    tally = Tally(valkey.url)
    try:
        for _ in range(2):
            assert await tally.hit("window", 60) is not None
            with valkey.frozen():
                assert await tally.hit("window", 60) is None
        assert await tally.hit("window", 60) is not None
        assert caplog.messages == []
        with valkey.frozen():
            assert [await tally.hit("window", 60) for _ in range(2)] == [None, None]
        assert len(caplog.messages) == 1
    finally:
        await tally.close()
        valkey.down()


@pytest.mark.parametrize("trouble", ["refuses", "is silent"])
async def test_without_redis_everything_is_allowed(
    shared_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """One line in the log says so; the policy is still told, what is left is not known; then it counts again."""
    valkey = outages.valkey(tmp_path)
    valkey.up()
    try:
        async with running_api(shared_database_url, valkey.url, **FEW) as api:
            a = api.holding("a")
            assert left(await a.get("/api/orders?limit=1")) == 3
            with valkey.frozen() if trouble == "is silent" else nullcontext():
                if trouble == "refuses":
                    await asyncio.to_thread(valkey.down)
                answers = await asyncio.gather(*(a.get("/api/orders?limit=1") for _ in range(20)))
                answers += [await a.get("/api/orders?limit=1") for _ in range(5)]
            assert {answer.status for answer in answers} == {200}
            assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"reads";q=4;w=86400'}
            assert "ratelimit" not in answers[-1].headers
            if trouble == "refuses":
                await asyncio.to_thread(valkey.up)

            async def counts() -> bool:
                return (await a.get("/api/orders?limit=1")).status == 429

            await eventually(counts)
    finally:
        valkey.down()
    complaints = [record.getMessage() for record in caplog.records if "rate limits" in record.getMessage()]
    assert len(complaints) == 1
