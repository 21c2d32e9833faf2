"""PostgreSQL is away: nothing is accepted that could be lost, and service comes back by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from engine_api.order_book import OrderBook
from engine_common.migrate import migrate
from integration.api import outages
from integration.api.outages import Server
from integration.api.running_api import BODY, Answer, RunningApi, running_api
from support.waiting import eventually


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a PostgreSQL of this module's own."""
    server = outages.postgres(tmp_path_factory.mktemp("postgres"))
    server.up()
    migrate(server.url)
    yield server
    server.down()


@pytest.fixture
async def api(cluster: Server, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api that uses the module's PostgreSQL."""
    async with running_api(cluster.url, redis_url) as running:
        yield running


def is_unavailable(answer: Answer) -> None:
    problem = answer.problem(503, "unavailable")
    assert problem["retryable"] is True
    assert int(answer.headers["retry-after"]) > 0


async def closed_by(api: RunningApi, path: str, message: str | None = None) -> tuple[list[str], int]:
    """Open a WebSocket, say the message, and return the codes of the problems that it answers, and its close code."""
    async with api.listening(path) as ear:
        if message is not None:
            await ear.connection.send(message)
        return [problem["code"] for problem in await ear.hear_all()], ear.code


async def test_every_route_says_so_and_serves_again_by_itself(api: RunningApi, cluster: Server) -> None:
    """503 with Retry-After while it is stopped; sockets are closed with "try again later"."""
    order_id = await api.place("/api/orders")
    await asyncio.to_thread(cluster.down)
    try:
        ready, health, of_order, of_wallet, placing, *answers = await asyncio.gather(
            api.get("/readyz"),
            api.get("/health"),
            closed_by(api, f"/ws/orders/{order_id}"),
            closed_by(api, "/ws?wallet=wallet"),
            closed_by(api, "/api/orders/execute", '{"tokenIn":"SOL","tokenOut":"USDC","amountIn":"1"}'),
            api.post("/api/orders/execute", BODY),
            api.post("/orders", BODY),
            api.post("/api/orders", BODY, key="key"),
            api.post(f"/api/orders/{order_id}/execute"),
            api.get(f"/api/orders/{order_id}"),
            api.get(f"/api/orders/{order_id}/events"),
            api.get("/api/orders"),
            api.get("/api/orders/user/wallet"),
        )
        for answer in answers:
            is_unavailable(answer)
        assert (ready.status, ready.json) == (503, {"status": "down", "postgres": "down", "redis": "up"})
        assert (health.status, health.json["postgres"]) == (200, "down")
        assert (of_order, of_wallet, placing) == (([], 1013), ([], 1013), (["unavailable"], 1013))
        (await api.post("/api/orders/execute", BODY | {"amountIn": 0})).problem(422, "invalid_order")
        assert (await api.get("/livez")).status == 200
    finally:
        await asyncio.to_thread(cluster.up)

    async def accepted() -> bool:
        return (await api.post("/api/orders/execute", BODY)).status == 202

    await eventually(accepted)
    answer = await eventually_ok(api, f"/api/orders/{order_id}")
    assert answer.json["status"] == "pending"


async def eventually_ok(api: RunningApi, path: str) -> Answer:
    async def ok() -> Answer | None:
        answer = await api.get(path)
        return answer if answer.status == 200 else None

    answer = await eventually(ok)
    assert answer is not None
    return answer


async def test_a_request_waits_as_long_as_the_operator_says(cluster: Server, redis_url: str) -> None:
    """Where waiting is better than failing, an outage that ends in time costs a client nothing but time."""
    async with running_api(cluster.url, redis_url, database_patience_s=15) as patient:
        order_id = await patient.place("/api/orders")
        await asyncio.to_thread(cluster.down)
        try:
            requests = [
                asyncio.create_task(patient.post("/api/orders/execute", BODY)),
                asyncio.create_task(patient.get(f"/api/orders/{order_id}")),
            ]
            await asyncio.sleep(3)  # longer than the default
            assert not any(request.done() for request in requests)
        finally:
            await asyncio.to_thread(cluster.up)
        placed, read = await asyncio.gather(*requests)
    assert (placed.status, read.status) == (202, 200)


async def test_a_server_that_only_hangs_leaves_the_outcome_open(api: RunningApi, cluster: Server) -> None:
    """The order's id is told, to look it up; it is there, for the statement had been sent."""
    key = str(uuid4())
    await api.place()
    with cluster.frozen():
        unkeyed, keyed = await asyncio.gather(
            api.post("/api/orders/execute", BODY),
            api.post("/api/orders/execute", BODY | {"amountIn": "2"}, key=key),
        )
        is_unavailable(await api.get("/api/orders"))
    first, others = sorted((unkeyed, keyed), key=lambda answer: answer.json["code"])
    assert {first.json["code"], others.json["code"]} <= {"outcome_unknown", "unavailable"}
    for answer, retryable in ((unkeyed, False), (keyed, True)):
        if answer.json["code"] == "outcome_unknown":
            assert answer.problem(503, "outcome_unknown")["retryable"] is retryable
            assert int(answer.headers["retry-after"]) > 0
            assert UUID(answer.json["orderId"])
    assert first.json["code"] == "outcome_unknown"
    await eventually_ok(api, f"/api/orders/{first.json['orderId']}")

    async def repeated() -> Answer | None:
        answer = await api.post("/api/orders/execute", BODY | {"amountIn": "2"}, key=key)
        return answer if answer.status == 202 else None

    again = await eventually(repeated)
    assert again is not None
    if keyed.json["code"] == "outcome_unknown":
        assert again.json["orderId"] == keyed.json["orderId"]


async def test_an_api_that_starts_first_waits_for_its_database(cluster: Server, redis_url: str) -> None:
    """It serves as soon as PostgreSQL is there; nobody has to start it again."""
    await asyncio.to_thread(cluster.down)
    try:
        async with running_api(cluster.url, redis_url) as api:
            is_unavailable(await api.post("/api/orders/execute", BODY))
            await asyncio.to_thread(cluster.up)

            async def accepted() -> bool:
                return (await api.post("/api/orders/execute", BODY)).status == 202

            await eventually(accepted)
    finally:
        if not cluster.is_up:
            cluster.up()


async def test_an_open_socket_waits_for_postgres(api: RunningApi, cluster: Server) -> None:
    """It is not closed for an outage, and goes on after it."""
    order_id = await api.place("/api/orders")
    async with api.listening(f"/ws/orders/{order_id}") as ear:
        await ear.hear(1)
        await asyncio.to_thread(cluster.down)
        await ear.silence(1.5)
        await asyncio.to_thread(cluster.up)

        async def executed() -> bool:
            return (await api.post(f"/api/orders/{order_id}/execute")).status == 202

        await eventually(executed)
        (queued,) = await ear.hear(1)
    assert (queued["seq"], queued["status"]) == (2, "queued")


@pytest.mark.parametrize("reading", ["read", "events_after"])
async def test_an_order_placed_on_a_socket_is_never_denied(
    api: RunningApi, cluster: Server, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    """PostgreSQL stops between storing and reading: the client hears which order it is that was accepted."""
    read = getattr(OrderBook, reading)

    async def read_too_late(*args: Any) -> Any:
        if cluster.is_up:
            await asyncio.to_thread(cluster.down)
        return await read(*args)

    wallet = f"wallet-{uuid4()}"
    monkeypatch.setattr(OrderBook, reading, read_too_late)
    try:
        async with api.listening("/api/orders/execute") as ear:
            await ear.connection.send(json.dumps(BODY | {"userWallet": wallet}))
            (problem,) = await ear.hear_all()
    finally:
        monkeypatch.undo()
        if not cluster.is_up:
            await asyncio.to_thread(cluster.up)
    order_id = problem["orderId"]
    assert (problem["code"], problem["retryable"], ear.code) == ("outcome_unknown", False, 1013)
    assert ear.connection.protocol.close_rcvd is not None
    for text in (problem["detail"], ear.connection.protocol.close_rcvd.reason):
        assert "accepted" in text
        assert f"/ws/orders/{order_id}" in text
    of_wallet = await eventually_ok(api, f"/api/orders/user/{wallet}")
    assert [order["orderId"] for order in of_wallet.json["data"]] == [order_id]


def set_read_only(cluster: Server, setting: str) -> None:
    """Let the whole server take writes or not, as a failover does to the node that was the primary."""
    with psycopg.connect(cluster.url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        connection.execute("SELECT pg_reload_conf()")


async def test_a_server_that_turned_read_only_is_unavailable_and_never_of_unknown_outcome(
    api: RunningApi, cluster: Server
) -> None:
    """Nothing was stored, the api is not ready, and orders are taken again over new connections without its help."""
    before = await api.place("/api/orders")
    await asyncio.to_thread(set_read_only, cluster, "on")
    try:
        await eventually_ready(api, 503)
        answers = await asyncio.gather(
            *(api.post("/api/orders/execute", BODY, key=f"read-only-{number}") for number in range(20)),
            *(api.post("/api/orders", BODY) for _ in range(20)),
            api.post(f"/api/orders/{before}/execute"),
            api.post(f"/api/orders/{before}/cancel"),
        )
        for answer in answers:
            is_unavailable(answer)
        assert (await api.get(f"/api/orders/{before}")).json["status"] == "pending"
    finally:
        await asyncio.to_thread(set_read_only, cluster, "off")
    await eventually_ready(api, 200)
    answer = await api.post("/api/orders/execute", BODY, key="read-only-0")
    assert answer.status == 202
    assert "idempotency-replayed" not in answer.headers, "nothing of the refused requests was stored"


async def eventually_ready(api: RunningApi, status: int) -> None:
    async def answers() -> bool:
        return (await api.get("/readyz")).status == status

    await eventually(answers)
