"""Accounts see nothing of each other, on any route or socket that the contract has: made from the contract itself.

A route, parameter or body that this module cannot fill in fails it: nothing is left out because it is new.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from redis import Redis
from starlette.routing import BaseRoute

from engine_api.contract.document import build
from engine_api.contract.operations import ApiRoute, SocketRoute
from engine_api.routes.table import ROUTES
from engine_common import live
from integration.api.running_api import BODY, Answer, RunningApi, running_api
from support.waiting import eventually

A, B = "key-of-a", "key-of-b"
CONTRACT = build(ROUTES, keys_required=True)

# What would be an answer about A's order: it has no place in an answer to B.
_ORDER_PARAMETERS = {"id", "orderId"}


@dataclass(frozen=True)
class Target:
    """What belongs to A: an order, its wallet, and the idempotency key it was made with."""

    order_id: str
    wallet: str
    idempotency_key: str

    def value(self, name: str) -> str | None:
        """Return what a parameter of this name has to be to aim at it; None: it does not aim."""
        aimed = {
            "id": self.order_id,
            "orderId": self.order_id,
            "wallet": self.wallet,
            "Idempotency-Key": self.idempotency_key,
        }
        harmless = {"status", "type", "limit", "cursor", "after", "since", "userWallet", "userId"}
        assert name in aimed or name in harmless, f"how is the parameter {name} filled in? Say so here"
        return aimed.get(name)

    def body(self, schema: dict[str, Any]) -> Any:
        """Return a body that aims at it."""
        name = schema["$ref"].rpartition("/")[2]
        assert name == "OrderBody", f"how is a {name} filled in? Say so here"
        return BODY | {"userWallet": self.wallet}


class Aimed(NamedTuple):
    """A request that aims at A's data."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]
    names_order: bool


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every operation that is not public."""
    for path, methods in CONTRACT["paths"].items():
        for method, operation in methods.items():
            if operation["security"]:
                yield method.upper(), path, operation


def aim(method: str, path: str, operation: dict[str, Any], target: Target) -> Aimed:
    """Fill in everything that the operation takes."""
    headers: dict[str, str] = {}
    query: list[str] = []
    names_order = False
    for parameter in operation["parameters"]:
        name, place = parameter["name"], parameter["in"]
        value = target.value(name)
        if value is None:
            assert not parameter["required"], f"{name} is required: say how it is filled in"
            continue
        names_order |= name in _ORDER_PARAMETERS
        if place == "path":
            path = path.replace(f"{{{name}}}", value)
        elif place == "query":
            query.append(f"{name}={value}")
        else:
            headers[name] = value
    assert "{" not in path
    content = operation.get("requestBody", {}).get("content", {})
    body = target.body(content["application/json"]["schema"]) if content else None
    return Aimed(method, path + ("?" + "&".join(query) if query else ""), body, headers, names_order)


OPERATIONS = [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in operations()]
SOCKETS = [pytest.param(path, socket, id=path) for path, socket in CONTRACT["x-websockets"].items()]


@pytest.fixture
async def guarded(shared_database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api with two accounts."""
    async with running_api(shared_database_url, redis_url, api_keys=f"a:{A},b:{B}") as api:
        yield api


@pytest.fixture
async def target(guarded: RunningApi, wallet: str) -> Target:
    """Give A an order."""
    placed = await guarded.holding(A).post("/api/orders", BODY | {"userWallet": wallet}, key=f"key-{wallet}")
    assert placed.status == 201
    return Target(placed.json["orderId"], wallet, f"key-{wallet}")


async def ask(api: RunningApi, aimed: Aimed) -> Answer:
    if aimed.body is None:
        return await api.ask(aimed.method, aimed.path, headers=aimed.headers)
    return await api.ask(aimed.method, aimed.path, json=aimed.body, headers=aimed.headers)


def orders_in(document: Any) -> set[str]:
    """Return every order id that stands anywhere in the document."""
    if isinstance(document, dict):
        found = {document["orderId"]} if "orderId" in document else set[str]()
        return found.union(*map(orders_in, document.values()))
    return set[str]().union(*map(orders_in, document)) if isinstance(document, list) else set()


def test_the_contract_describes_every_route() -> None:
    """So that what is made from it covers them all."""

    def routes(kind: type[BaseRoute]) -> list[Any]:
        return [route for route in ROUTES if isinstance(route, kind)]

    documented = {(method, path) for path, methods in CONTRACT["paths"].items() for method in methods}
    assert documented == {(route.method.lower(), route.path_format) for route in routes(ApiRoute)}
    assert set(CONTRACT["x-websockets"]) == {route.path_format for route in routes(SocketRoute)}
    public = {path for path, methods in CONTRACT["paths"].items() for each in methods.values() if not each["security"]}
    assert public == {"/livez", "/readyz", "/health", "/openapi.json"}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
async def test_no_operation_shows_or_changes_what_belongs_to_another_account(
    guarded: RunningApi, target: Target, method: str, path: str, operation: dict[str, Any]
) -> None:
    """404 for its order, lists without its rows, an order of one's own for its idempotency key; it stays as it was."""
    mine = guarded.holding(A)
    before = (await mine.get(f"/api/orders/{target.order_id}")).text
    aimed = aim(method, path, operation, target)
    answer = await ask(guarded.holding(B), aimed)
    if aimed.names_order:
        answer.problem(404, "not_found")
    else:
        assert answer.status in (200, 201, 202), answer.text
        assert target.order_id not in answer.text
        assert "idempotency-replayed" not in answer.headers
    if method == "GET" and not aimed.names_order:
        assert orders_in(answer.json) == set()
    assert (await mine.get(f"/api/orders/{target.order_id}")).text == before
    listed = await mine.get(f"/api/orders?wallet={target.wallet}")
    assert orders_in(listed.json) == {target.order_id}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
async def test_the_owner_is_answered_by_every_operation(
    guarded: RunningApi, target: Target, method: str, path: str, operation: dict[str, Any]
) -> None:
    """The same requests: it is the account that made the difference."""
    answer = await ask(guarded.holding(A), aim(method, path, operation, target))
    if answer.status == 422:  # creating and executing with the key of creating is another request
        assert answer.json["code"] == "idempotency_key_reused"
    else:
        assert answer.status in (200, 201, 202), answer.text
    assert target.order_id in answer.text


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
async def test_no_operation_answers_without_a_key(
    guarded: RunningApi, target: Target, method: str, path: str, operation: dict[str, Any]
) -> None:
    """401, the same for what exists and what does not."""
    aimed = aim(method, path, operation, target)
    for api in (guarded, guarded.holding("wrong")):
        (await ask(api, aimed)).problem(401, "unauthorized")


def socket_paths(path: str, socket: dict[str, Any], target: Target) -> Iterator[tuple[str, bool]]:
    """Yield the ways to ask the socket for A's data; true: by its order."""
    optional: list[str] = []
    for parameter in socket["parameters"]:
        value = target.value(parameter["name"])
        if parameter["in"] == "path":
            assert value is not None
            yield path.replace(f"{{{parameter['name']}}}", value), True
            return
        if value is not None:
            optional.append(f"{parameter['name']}={value}")
    assert optional, f"how does {path} name what it streams? Say so here"
    for one in optional:
        yield f"{path}?{one}", one.partition("=")[0] in _ORDER_PARAMETERS


@pytest.mark.parametrize(("path", "socket"), SOCKETS)
async def test_no_socket_tells_anything_of_another_account(
    guarded: RunningApi, target: Target, path: str, socket: dict[str, Any]
) -> None:
    """Closed with 4004 where it asks for the order, silent about the wallet while the owner hears of it."""
    mine, theirs = guarded.holding(A), guarded.holding(B)
    for address, by_order in socket_paths(path, socket, target):
        async with mine.listening(address) as heard, theirs.listening(address) as ear:
            (event,) = await heard.hear(1)
            assert event["orderId"] == target.order_id
            if by_order:
                assert await ear.closed() == 4004
                continue
            executed = await mine.post(f"/api/orders/{target.order_id}/execute")
            assert executed.status == 202
            if event["seq"] == 1:
                await heard.hear(1)
            await ear.silence()


@pytest.mark.parametrize(("path", "socket"), SOCKETS)
async def test_no_socket_opens_without_a_key(
    guarded: RunningApi, target: Target, path: str, socket: dict[str, Any]
) -> None:
    """4401 on all of them, also where the first message is to be an order."""
    for address in (path, *(each for each, _ in socket_paths(path, socket, target))):
        for api in (guarded, guarded.holding("wrong")):
            async with api.listening(address) as ear:
                assert await ear.closed() == 4401


async def test_an_order_placed_on_a_socket_belongs_to_the_socket_s_account(guarded: RunningApi, wallet: str) -> None:
    """The one path by which an order is made that is no operation."""
    async with guarded.holding(A).listening("/api/orders/execute") as ear:
        await ear.connection.send(json.dumps(BODY | {"userWallet": wallet}))
        (event,) = await ear.hear(1)
    (await guarded.holding(B).get(f"/api/orders/{event['orderId']}")).problem(404, "not_found")
    assert (await guarded.holding(A).get(f"/api/orders/{event['orderId']}")).status == 200


async def test_events_of_a_wallet_are_published_for_its_account_alone(
    guarded: RunningApi, redis: Redis, wallet: str
) -> None:
    """Two accounts may use the same name for a wallet; each has a channel of its own."""
    async with (
        guarded.holding(A).listening(f"/ws?wallet={wallet}") as of_a,
        guarded.holding(B).listening(f"/ws?wallet={wallet}") as of_b,
    ):
        channels = [live.wallet_channel(account, wallet) for account in ("a", "b")]

        def heard() -> bool:
            numbers: Any = redis.pubsub_numsub(*channels)
            return all(number == 1 for _, number in numbers)

        await eventually(heard)
        placed = await guarded.holding(A).place(userWallet=wallet)
        (event,) = await of_a.hear(1)
        assert event["orderId"] == str(placed)
        await of_b.silence()
