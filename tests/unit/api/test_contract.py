"""How the contract is made from the routes."""

import pytest
from starlette.responses import Response
from starlette.routing import Route

from engine_api import problems
from engine_api.contract.document import build
from engine_api.problems import Kind
from engine_api.routes.table import ROUTES


async def undescribed(_: object) -> Response:
    return Response()


def test_a_route_that_does_not_describe_itself_is_refused() -> None:
    """So that none can be forgotten."""
    with pytest.raises(TypeError, match="says nothing"):
        build([*ROUTES, Route("/forgotten", undescribed)], keys_required=True)


def test_every_kind_of_problem_is_documented_somewhere() -> None:
    """A code that no route lists would surprise a client."""
    kinds = {value.code for value in vars(problems).values() if isinstance(value, Kind)}
    document = build(ROUTES, keys_required=True)
    over_http = {
        code
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for media in response["content"].values()
        for part in media["schema"].get("allOf", [])[1:]
        for code in part["properties"]["code"]["enum"]
    }
    on_sockets = {
        code
        for socket in document["x-websockets"].values()
        for codes in (*socket["closes"].values(), *socket["plainHttp"].values(), socket["problems"])
        for code in codes
    }
    assert over_http | on_sockets == kinds


def test_an_order_leads_to_everything_that_can_be_asked_of_it() -> None:
    """Each answer that holds an order links to every operation on an order or its wallet, a new one included."""
    document = build(ROUTES, keys_required=False)
    operations = {one["operationId"]: one for path in document["paths"].values() for one in path.values()}
    expected = {name for name, one in operations.items() if any(given["in"] == "path" for given in one["parameters"])}
    links = operations["create"]["responses"]["201"]["links"]
    assert links.keys() == expected
    assert {"read", "execute", "history", "cancel", "list_wallet_orders"} <= expected
    assert links["cancel"] == {"operationId": "cancel", "parameters": {"id": "$response.body#/orderId"}}
    assert operations["read"]["responses"]["200"]["links"] == links
    assert operations["list_orders"]["responses"]["200"]["links"] == {}
