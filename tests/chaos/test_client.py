"""What a good client makes of bad answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from chaos.client import Client
from load.claims import Claim
from load.plans import Plan, Way

ORDER = {"orderId": "a", "traceId": "t"}
PLAN = Plan("key", Way.AT_ONCE, {"amountIn": "1"}, followed=False, repeated=False)
Reply = Callable[[], web.Response]


class Api:
    """Answers as told, one reply after another, and keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._replies = list(replies)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers.get("Idempotency-Key")))
        return self._replies.pop(0)()


def hang_up() -> web.Response:
    raise asyncio.CancelledError  # aiohttp closes the connection without an answer


def says(status: int, **document: str) -> Reply:
    return lambda: web.json_response(document, status=status)


@asynccontextmanager
async def client_of(api: Api) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, [f"http://{host}:{port}"])
    finally:
        await runner.cleanup()


async def carry_out(client: Client, plan: Plan) -> Claim | None:
    return await client.carry_out(plan, lambda _plan, _claim: None)


async def test_an_uncertain_answer_is_repeated_with_the_same_key() -> None:
    """No answer, 503 in both its forms and 429, until the order is accepted; then it is on the list."""
    replies = (hang_up, says(503, code="unavailable"), says(503, code="outcome_unknown"), says(429), says(202, **ORDER))
    api = Api(*replies)
    async with client_of(api) as client:
        claim = await carry_out(client, PLAN)
    assert api.asked == [("/api/orders/execute", "key")] * 5
    assert claim is not None
    assert client.claims == {"key": claim}
    assert (claim.order_id, claim.trace_id) == ("a", "t")
    assert client.surprises == []
    assert client.refusals.total() == 4


async def test_a_server_error_is_a_surprise_and_repeated_all_the_same() -> None:
    """The order may not be lost for it."""
    async with client_of(Api(says(500), says(202, **ORDER))) as client:
        assert await carry_out(client, PLAN) is not None
    assert len(client.surprises) == 1


async def test_a_refusal_that_nobody_expected_is_a_surprise_and_final() -> None:
    """All orders of the plans are valid."""
    async with client_of(Api(says(422, code="invalid_order"))) as client:
        assert await carry_out(client, PLAN) is None
    assert len(client.surprises) == 1
    assert client.claims == {}


async def test_the_same_key_answered_with_another_order_is_a_surprise() -> None:
    """A repeated request is the same order."""
    plan = Plan("key", Way.AT_ONCE, {}, followed=False, repeated=True)
    async with client_of(Api(says(202, **ORDER), says(202, **(ORDER | {"orderId": "b"})))) as client:
        await carry_out(client, plan)
    assert len(client.surprises) == 1


@pytest.mark.parametrize(
    ("way", "replies", "paths", "cancelled"),
    [
        (Way.IN_TWO_STEPS, (says(201, **ORDER), says(202)), ["", "/a/execute"], False),
        (Way.CANCELLED_PENDING, (says(201, **ORDER), says(200)), ["", "/a/cancel"], True),
        (Way.CANCELLED, (says(202, **ORDER), says(202, **ORDER)), ["/execute", "/a/cancel"], False),
        (
            Way.CANCELLED,
            (says(202, **ORDER), says(409, code="contended"), hang_up, says(200)),
            ["/execute", *["/a/cancel"] * 3],
            True,
        ),
    ],
)
async def test_second_steps_are_repeated_until_they_are_decided(
    way: Way, replies: tuple[Reply, ...], paths: list[str], cancelled: bool
) -> None:
    """A 409 decides too, unless it only says that the order keeps changing."""
    api = Api(*replies)
    async with client_of(api) as client:
        claim = await carry_out(client, Plan("key", way, {}, followed=False, repeated=False))
    assert [path.removeprefix("/api/orders") for path, _ in api.asked] == paths
    assert claim is not None
    assert claim.cancelled is cancelled
    assert client.surprises == []
