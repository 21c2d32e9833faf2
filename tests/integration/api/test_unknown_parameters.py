"""Query parameters that an address does not have are refused by name: one that is ignored changes what is answered."""

from typing import Any
from urllib.parse import quote

import pytest
from starlette.routing import BaseRoute

from engine_api.contract.operations import ApiRoute, SocketRoute
from engine_api.routes.table import ROUTES
from integration.api.running_api import BODY, UNKNOWN, RunningApi

PROBES = {"/livez", "/readyz", "/health"}


def filled(route: BaseRoute) -> str:
    assert isinstance(route, (ApiRoute, SocketRoute))
    return route.path_format.replace("{id}", UNKNOWN).replace("{wallet}", "w")


APIS = [route for route in ROUTES if isinstance(route, ApiRoute)]
SOCKETS = [route for route in ROUTES if isinstance(route, SocketRoute)]


@pytest.mark.parametrize("route", [route for route in APIS if route.path not in PROBES], ids=lambda route: route.name)
async def test_every_address_refuses_parameters_that_it_does_not_know(api: RunningApi, route: ApiRoute) -> None:
    """422 names each of them, before anything is read or stored."""
    for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
        path = f"{filled(route)}?unheardOf=1&Limit=2&unheardOf=3&no"
        answer = await (api.post(path, BODY) if method == "POST" else api.ask(method, path))
        assert answer.status == 422
        if method != "HEAD":
            answer.problem(422, "invalid_parameter")
            assert answer.fields() == {"unheardOf", "Limit", "no"}


@pytest.mark.parametrize("route", SOCKETS, ids=lambda route: route.name)
async def test_every_socket_refuses_parameters_that_it_does_not_know(api: RunningApi, route: SocketRoute) -> None:
    """By the close code of an invalid request, and by name."""
    known = "wallet=w&" if route.path_format == "/ws" else ""
    async with api.listening(f"{filled(route)}?{known}unheardOf=1&Since=2") as ear:
        await ear.hear_all()
    assert ear.code == 4422
    assert "unheardOf" in ear.reason


@pytest.mark.parametrize("path", sorted(PROBES))
async def test_a_probe_takes_any_query(api: RunningApi, path: str) -> None:
    """No parameter could change what it answers, and a refusal would take a healthy process out of service."""
    assert (await api.get(f"{path}?_=1764240000&source=balancer")).status == 200


async def test_what_is_unknown_is_told_together_with_what_is_wrong(api: RunningApi) -> None:
    """Nobody has to repeat a request once for each mistake."""
    answer = await api.get("/api/orders?limit=0&walet=w&sort=asc")
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == {"limit", "walet", "sort"}
    assert "wallet" in answer.json["detail"], "the names that there are"


@pytest.mark.parametrize("name", ["", "\ud800", "a" * 5000, "\0", "wallet\u0000", "\u017ftatus", "wallet[]", "Wallet"])
async def test_any_name_can_be_refused(api: RunningApi, name: str) -> None:
    """Also one that JSON or a log could not repeat."""
    answer = await api.get(f"/api/orders?{quote(name.encode(errors='surrogatepass'))}=x")
    answer.problem(422, "invalid_parameter")
    assert len(answer.json["errors"][0]["field"]) <= 64


async def test_many_names_are_refused_in_a_short_answer(api: RunningApi) -> None:
    """At most twenty of them are named."""
    answer = await api.get("/api/orders?" + "&".join(f"p{number}=1" for number in range(2000)))
    answer.problem(422, "invalid_parameter")
    assert len(answer.json["errors"]) == 20


@pytest.mark.parametrize("name", ["wallet", "userWallet", "userId"])
async def test_a_list_is_filtered_by_each_name_of_the_wallet(api: RunningApi, wallet: str, name: str) -> None:
    """A filter that is spelt as a body spells it must not show every order of the account."""
    order_id = await api.place(userWallet=wallet)
    await api.place()
    page = (await api.get(f"/api/orders?{name}={wallet}")).json
    assert [order["orderId"] for order in page["data"]] == [str(order_id)]
    assert (await api.get(f"/api/orders?{name}=no-such-{wallet}"[:100])).json["data"] == []
    async with api.listening(f"/ws?{name}={wallet}") as ear:
        (event,) = await ear.hear(1)
    assert event["orderId"] == str(order_id)


@pytest.mark.parametrize(
    "query", ["wallet=a&userId=a", "userWallet=a&userId=b", "userId=a&wallet=a", "wallet=a&wallet=a"]
)
async def test_the_wallet_is_named_once(api: RunningApi, query: str) -> None:
    """Which of two would count is anybody's guess, as in a body."""
    answer = await api.get(f"/api/orders?{query}")
    answer.problem(422, "invalid_parameter")
    async with api.listening(f"/ws?{query}") as ear:
        assert await ear.closed() == 4422


async def test_a_wallet_of_the_path_is_not_also_one_of_the_query(api: RunningApi) -> None:
    """The address names it already."""
    answer = await api.get("/api/orders/user/w?wallet=w")
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == {"wallet"}


async def test_an_order_of_a_socket_is_named_once(api: RunningApi) -> None:
    """Two ids are no choice."""
    order_id = await api.place()
    async with api.listening(f"/api/orders/execute?orderId={order_id}&orderId={order_id}") as ear:
        assert await ear.closed() == 4422


def test_the_contract_lists_every_name() -> None:
    """Each spelling of the wallet is a parameter of its own."""
    lists: dict[str, Any] = {
        route.path: route.query_names for route in ROUTES if isinstance(route, (ApiRoute, SocketRoute))
    }
    assert {"wallet", "userWallet", "userId"} <= lists["/api/orders"]
    assert {"wallet", "userWallet", "userId"} <= lists["/ws"]
