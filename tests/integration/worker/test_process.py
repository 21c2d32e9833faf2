"""The worker as it runs in production: a process with PostgreSQL, Valkey and the mock DEX."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import orjson
import pytest
from psycopg import sql
from redis.asyncio import Redis
from solders.keypair import Keypair

from devstack.ports import free_port
from engine_common import live
from engine_common.orders import event_json
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from support.orders import WALLET
from support.placing import all_finished, announce, histories, place, read_all
from support.services import WALLET_KEY, MockDex, Worker
from support.waiting import eventually

StartWorker = Callable[..., Awaitable[Worker]]

# Refuses the first transitions to a status; a sequence remembers them, since what fails does not take it back.
_REFUSE_THE_FIRST = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('refusals') <= 4 THEN RAISE EXCEPTION 'refused by a trigger'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (NEW.status = '{status}' AND OLD.status <> '{status}') EXECUTE FUNCTION refuse();
"""


async def test_an_announced_order_is_executed_to_confirmed(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """One landing, each transition once, published as written; and SIGTERM ends the worker with code 0."""
    worker = await start_worker()
    async with Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as ear:
        await ear.subscribe(live.wallet_channel("default", WALLET))
        await ear.get_message(ignore_subscribe_messages=False, timeout=10)
        (order_id,) = await place(pool)
        await announce(redis_url, [order_id])
        (order,) = await all_finished(pool, [order_id])
        (events,) = await histories(pool, [order_id])
        heard = [await ear.get_message(timeout=10) for _ in range(4)]
    assert order.status is Status.CONFIRMED
    assert [event.status for event in events] == ["queued", "routing", "building", "submitted", "confirmed"]
    assert [message["data"] for message in heard if message] == [event_json(event) for event in events[1:]]
    (landing,) = await dex.landings(order_id)
    assert (landing["signature"], landing["error"]) == (order.tx_hash, None)
    assert int(landing["amountOut"]) == order.amount_out
    assert order.effective_min_amount_out == int(landing["minimumOut"])
    assert orjson.loads(order.routing or "")["chosen"] == landing["venue"] == order.venue
    assert await worker.stop() == 0
    assert "Traceback" not in worker.log


async def test_a_swap_that_keeps_failing_is_tried_three_times_and_says_why(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """Each failed attempt is a `retrying` event with its reason; the last one is the order's."""
    await dex.set(failure_rate=1.0)
    await start_worker()
    ids = await place(pool, 5)
    await announce(redis_url, ids)
    orders = await all_finished(pool, ids)
    assert {(order.status, order.error_code, order.attempt) for order in orders} == {(Status.FAILED, "swap_failed", 3)}
    for events in await histories(pool, ids):
        retries = [event for event in events if event.type == "retrying"]
        assert [event.data["failedAttempt"] for event in retries] == [1, 2]
        assert all("6000" in event.data["errorReason"] for event in [*retries, events[-1]])
    landings = await dex.landings(*ids)
    assert Counter(row["orderId"] for row in landings) == Counter({str(order_id): 3 for order_id in ids})
    assert {row["error"] for row in landings} == {6000}
    async with pool.connection() as connection:
        rows = await (
            await connection.execute("SELECT outcome, count(DISTINCT signature) FROM attempts GROUP BY 1")
        ).fetchall()
    assert rows == [("swap_failed", 15)]


async def test_a_rotated_wallet_key_strands_no_submitted_order(
    start_worker: StartWorker, dex: MockDex, pool: Pool
) -> None:
    """The old worker signed and stopped; the one with the new key reads what the old wallet received."""
    await dex.set(execution_delay_ms=2_000)
    worker = await start_worker(ENGINE_DRAIN_S="0")
    ids = await place(pool, 20)

    async def submitted() -> bool:
        return {order.status for order in await read_all(pool, ids)} == {Status.SUBMITTED}

    await eventually(submitted)
    assert await worker.stop() == 0
    await start_worker(ENGINE_WALLET_KEY=str(Keypair()))
    orders = await all_finished(pool, ids)
    assert {(order.status, order.attempt) for order in orders} == {(Status.CONFIRMED, 1)}
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT DISTINCT signer FROM attempts")).fetchall()
    assert rows == [(str(Keypair.from_base58_string(WALLET_KEY).pubkey()),)]


@pytest.mark.parametrize("status", ["routing", "building", "submitted", "confirmed"])
async def test_transitions_that_postgresql_refuses_wedge_no_order(
    start_worker: StartWorker, dex: MockDex, pool: Pool, status: str
) -> None:
    """Whichever it is: the order goes on, by another attempt where one had begun, and swaps once."""
    async with pool.connection() as connection:
        await connection.execute(_REFUSE_THE_FIRST.format(status=status))
    # More attempts than refusals: how many of these one order meets depends on which orders share a statement.
    await start_worker(ENGINE_MAX_ATTEMPTS="6")
    ids = await place(pool, 3)
    orders = await all_finished(pool, ids)
    assert {order.status for order in orders} == {Status.CONFIRMED}
    assert Counter(row["orderId"] for row in await dex.landings(*ids)) == Counter(map(str, ids))
    async with pool.connection() as connection:
        assert ((await (await connection.execute("SELECT last_value FROM refusals")).fetchone()) or (0,))[0] > 4


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        (
            {"amount_in": 1, "token_in": "BONK"},
            "amount_too_small",
            "no venue pays any USDC for 0.00001 BONK: sell a larger amount",
        ),
        (
            {"amount_in": 2**63},
            "no_liquidity",
            "no venue has enough USDC to pay for 9223372036.854775808 SOL: sell a smaller amount",
        ),
        (
            {"amount_in": 2**64 - 1},
            "no_liquidity",
            "no venue has enough USDC to pay for 18446744073.709551615 SOL: sell a smaller amount",
        ),
    ],
)
async def test_what_no_venue_can_fill_fails_at_once_and_says_why(
    start_worker: StartWorker, pool: Pool, changes: dict[str, object], code: str, reason: str
) -> None:
    """Dust and amounts beyond the depth: no second attempt would be answered otherwise."""
    await start_worker()
    (order,) = await all_finished(pool, await place(pool, **changes))
    assert (order.status, order.error_code, order.attempt) == (Status.FAILED, code, 1)
    assert order.error_reason == reason


async def test_what_no_message_announced_is_executed_by_the_sweep(start_worker: StartWorker, pool: Pool) -> None:
    """PostgreSQL is the truth, Redis is a hint."""
    await start_worker()
    ids = await place(pool, 3)
    orders = await all_finished(pool, ids)
    assert {order.status for order in orders} == {Status.CONFIRMED}


async def test_a_duplicate_message_executes_nothing_twice(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """Not with two workers either, and the message does not steal a living worker's order."""
    await asyncio.gather(start_worker(), start_worker())
    ids = await place(pool, 40)
    await asyncio.gather(*(announce(redis_url, ids[i:] + ids[:i]) for i in range(4)))
    orders = await all_finished(pool, ids)
    assert {(order.status, order.lease_epoch) for order in orders} == {(Status.CONFIRMED, 1)}
    assert Counter(row["orderId"] for row in await dex.landings(*ids)) == Counter(map(str, ids))


async def test_a_worker_never_carries_more_orders_than_it_may(
    start_worker: StartWorker, dex: MockDex, pool: Pool, redis_url: str
) -> None:
    """Five at once of a hundred, by message and by sweep; all of them are executed in the end."""
    await dex.set(execution_delay_ms=100)
    await start_worker(ENGINE_MAX_IN_FLIGHT="5")
    ids = await place(pool, 100)
    await announce(redis_url, ids)
    carried: list[int] = []
    count = "SELECT count(*) FILTER (WHERE worker_id IS NOT NULL), count(*) FROM orders WHERE finished_at IS NULL"

    async def done() -> bool:
        async with pool.connection() as connection:
            row = await (await connection.execute(count)).fetchone()
        assert row is not None
        carried.append(row[0])
        return row[1] == 0

    await eventually(done)
    assert max(carried) == 5
    assert len(await dex.landings(*ids)) == 100


async def test_metrics_and_probes_tell_how_it_is(start_worker: StartWorker, pool: Pool, redis_url: str) -> None:
    """How many orders finished, and how many are carried now; from the start, so that the first is an increase."""
    worker = await start_worker()
    assert await worker.metric("engine_orders_recovered_total") == 0
    ids = await place(pool, 3)
    await announce(redis_url, ids)
    await all_finished(pool, ids)
    await eventually(lambda: worker.metric("engine_orders_finished_total"))
    assert await worker.metric("engine_orders_finished_total") == 3
    assert await worker.metric("engine_orders_in_flight") == 0


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "ENGINE_WALLET_KEY is not set: set it (signing key of the engine's wallet"),
        (WALLET_KEY[:-4], "ENGINE_WALLET_KEY is not a base58 keypair of 64 bytes"),
    ],
)
def test_without_a_usable_wallet_it_names_the_variable_and_ends(key: str | None, said: str) -> None:
    """One sentence, no traceback, and never the key itself."""
    done = subprocess.run(
        [sys.executable, "-m", "engine_worker"],
        env={} if key is None else {"ENGINE_WALLET_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert said in output
    assert "Traceback" not in output
    assert not key or key not in output


async def test_a_taken_port_of_the_probes_is_one_sentence(start_worker: StartWorker) -> None:
    """It names the variable to change."""
    port = free_port()
    server = await asyncio.start_server(lambda *_: None, "0.0.0.0", port)  # noqa: S104 - where the probes listen
    async with server:
        worker = await start_worker(ready=False, METRICS_PORT=str(port))
        assert await worker.ended() != 0
    assert "METRICS_PORT: cannot listen on" in worker.log
    assert "Traceback" not in worker.log


async def test_production_is_refused_on_commits_that_do_not_last(
    start_worker: StartWorker, pool: Pool, database_url: str
) -> None:
    """A signature that a failover forgets may have been sent: one sentence, before the first order."""
    (order_id,) = await place(pool)
    async with pool.connection() as connection:
        name = connection.info.dbname
        await connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
    # A container is remote, and speaks plain text.
    production = {"ENV": "production", "ALLOW_PLAINTEXT_DATABASE": "true"}
    worker = await start_worker(ready=False, DATABASE_URL=database_url, **production)
    assert await worker.ended() != 0
    assert "synchronous_commit is off" in worker.log
    assert "Traceback" not in worker.log
    assert (await read_all(pool, [order_id]))[0].status is Status.QUEUED
