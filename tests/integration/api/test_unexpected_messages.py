"""Messages on a WebSocket: the first may place an order; one that nobody reads is answered, never lost in silence."""

import json
from typing import Any

import pytest

from engine_common.transitions import Status
from integration.api.running_api import BODY, RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble


def is_unexpected(document: dict[str, Any]) -> bool:
    return (document.get("code"), document.get("status")) == ("unexpected_message", 400) and bool(document["requestId"])


async def test_a_second_message_is_answered_and_the_stream_goes_on(
    api: RunningApi, worker: WorkerDouble, wallet: str
) -> None:
    """A page that sends two orders on one socket hears that the second was not placed."""
    body = json.dumps(BODY | {"userWallet": wallet})
    async with api.listening("/api/orders/execute") as ear:
        await ear.connection.send(body)
        (queued,) = await ear.hear(1)
        await ear.connection.send(body)
        (problem,) = await ear.hear(1)
        assert is_unexpected(problem)
        assert "POST" in problem["detail"]
        await worker.move(queued["orderId"], *TO_CONFIRMED)
        events = await ear.hear(len(TO_CONFIRMED))
        assert events[-1]["status"] == Status.CONFIRMED
        assert await ear.closed() == 1000
    assert len((await api.get(f"/api/orders/user/{wallet}")).json["data"]) == 1


async def test_two_messages_at_once_are_one_order_and_one_answer(api: RunningApi, wallet: str) -> None:
    """The second may come before the first is placed."""
    body = json.dumps(BODY | {"userWallet": wallet})
    async with api.listening("/api/orders/execute") as ear:
        await ear.connection.send(body)
        await ear.connection.send(body)
        heard = await ear.hear(2)
    assert sorted(is_unexpected(each) for each in heard) == [False, True]
    assert len((await api.get(f"/api/orders/user/{wallet}")).json["data"]) == 1


@pytest.mark.parametrize("path", ["/ws/orders/{id}", "/api/orders/execute?orderId={id}", "/ws?wallet={wallet}"])
@pytest.mark.parametrize("message", ["", "{", b"\x00", json.dumps({"op": "ping"})])
async def test_no_stream_loses_a_message_in_silence(
    api: RunningApi, worker: WorkerDouble, wallet: str, path: str, message: str | bytes
) -> None:
    """Whatever it says, and also where no message at all is expected."""
    order_id = await api.place(userWallet=wallet)
    async with api.listening(path.format(id=order_id, wallet=wallet)) as ear:
        await ear.hear(1)
        await ear.connection.send(message)
        (problem,) = await ear.hear(1)
        assert is_unexpected(problem)
        await worker.move(order_id, Status.ROUTING)
        (event,) = await ear.hear(1)
        assert event["status"] == Status.ROUTING


async def test_a_client_that_talks_on_and_on_hears_of_it_at_a_bounded_rate(api: RunningApi, wallet: str) -> None:
    """Answers cost more than such messages; the client may still leave at once."""
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        for _ in range(500):
            await ear.connection.send("{}")
        heard = await ear.hear(2)
        assert all(map(is_unexpected, heard))
    assert (await api.get("/livez")).status == 200


async def test_the_first_message_may_carry_the_idempotency_key(api: RunningApi, wallet: str) -> None:
    """A page cannot set headers on a WebSocket; the same key over HTTP is the same order."""
    body = BODY | {"userWallet": wallet}
    first = await follow(api, body | {"idempotencyKey": wallet})
    again = await follow(api, body | {"idempotencyKey": f'"{wallet}"'})
    over_http = await api.post("/api/orders/execute", body, key=wallet)
    assert first["orderId"] == again["orderId"] == over_http.json["orderId"]
    assert over_http.headers["idempotency-replayed"] == "true"
    other = await follow(api, body | {"idempotencyKey": wallet, "amountIn": "2"})
    assert other["code"] == "idempotency_key_reused"


async def test_without_a_key_each_first_message_is_an_order(api: RunningApi, wallet: str) -> None:
    """Null is no key."""
    body = BODY | {"userWallet": wallet, "idempotencyKey": None}
    assert (await follow(api, body))["orderId"] != (await follow(api, body))["orderId"]


async def test_header_and_message_may_give_the_same_key(api: RunningApi, wallet: str) -> None:
    """Clients that can set headers may have one in every request."""
    body = BODY | {"userWallet": wallet, "idempotencyKey": wallet}
    event = await follow(api, body, additional_headers={"Idempotency-Key": f'"{wallet}"'})
    assert event["status"] == "queued"


@pytest.mark.parametrize("key", ["", '""', "  ", 7, ["k"], "k" * 256, "k\u00e4se", "a\nb", True])
async def test_a_malformed_key_in_the_message_is_named(api: RunningApi, wallet: str, key: Any) -> None:
    """As in a header, and nothing is stored."""
    problem = await follow(api, BODY | {"userWallet": wallet, "idempotencyKey": key})
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_parameter", "idempotencyKey")
    assert (await api.get(f"/api/orders/user/{wallet}")).json["data"] == []


async def test_contradicting_keys_are_refused(api: RunningApi, wallet: str) -> None:
    """Which of the two would count is anybody's guess."""
    body = BODY | {"userWallet": wallet, "idempotencyKey": wallet}
    problem = await follow(api, body, additional_headers={"Idempotency-Key": "another"})
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_parameter", "idempotencyKey")
    assert (await api.get(f"/api/orders/user/{wallet}")).json["data"] == []


async def test_a_body_over_http_has_its_key_in_the_header(api: RunningApi) -> None:
    """There it is still no field of an order."""
    answer = await api.post("/api/orders", BODY | {"idempotencyKey": "k"})
    answer.problem(422, "invalid_order")
    assert answer.fields() == {"idempotencyKey"}


async def follow(api: RunningApi, body: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Place the order on a socket and return the first thing heard."""
    async with api.listening("/api/orders/execute", **options) as ear:
        await ear.connection.send(json.dumps(body))
        (heard,) = await ear.hear(1)
    return heard
