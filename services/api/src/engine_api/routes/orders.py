"""Orders over HTTP: creating, executing, cancelling, reading."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from engine_api import parameters
from engine_api.access.caller import account_of
from engine_api.access_log import bind_order, bind_order_of_path
from engine_api.bodies import read_json
from engine_api.components import State
from engine_api.documents import JsonResponse, order_document
from engine_api.intake.idempotency import HEADER, read_key
from engine_api.intake.order_body import read_terms
from engine_api.order_book import Filter
from engine_api.paging import encode_cursor
from engine_api.parameters import DEFAULT_LIMIT, Parameters
from engine_common.orders import event_document
from engine_common.transitions import Status

_REPLAYED = {"idempotency-replayed": "true"}


async def create_and_execute(request: Request[State]) -> Response:
    """Store an order and queue it."""
    return await _place(request, Status.QUEUED, 202)


async def create(request: Request[State]) -> Response:
    """Store an order that waits for its execution to be asked for."""
    return await _place(request, Status.PENDING, 201)


async def _place(request: Request[State], status: Status, code: int) -> Response:
    key = read_key(request.headers.getlist(HEADER))
    terms = read_terms(await read_json(request))
    order, replayed = await request.state["placement"].place(account_of(request), terms, key, status)
    bind_order(order.id)
    headers = {"location": f"/api/orders/{order.id}"}
    return JsonResponse(order_document(order), code, headers | _REPLAYED if replayed else headers)


async def execute(request: Request[State]) -> Response:
    """Queue a pending order."""
    bind_order_of_path(request.scope)
    order = await request.state["commands"].execute(account_of(request), request.path_params["id"])
    return JsonResponse(order_document(order), 202, {"location": f"/api/orders/{order.id}"})


async def cancel(request: Request[State]) -> Response:
    """Cancel an order, or keep the request where the chain decides first."""
    bind_order_of_path(request.scope)
    order = await request.state["commands"].cancel(account_of(request), request.path_params["id"])
    return JsonResponse(order_document(order), 200 if order.terminal else 202)


async def read(request: Request[State]) -> Response:
    """Show an order as it stands."""
    bind_order_of_path(request.scope)
    order = await request.state["orders"].read(account_of(request), request.path_params["id"])
    return JsonResponse(order_document(order))


async def history(request: Request[State]) -> Response:
    """Show everything that happened to an order."""
    bind_order_of_path(request.scope)
    events = await request.state["orders"].history(account_of(request), request.path_params["id"])
    return JsonResponse({"data": [event_document(event) for event in events]})


async def list_orders(request: Request[State]) -> Response:
    """Show a page of orders, newest first."""
    query = Parameters(request)
    return await _page(request, query, query.read_one_of(parameters.WALLETS))


async def list_wallet_orders(request: Request[State]) -> Response:
    """Show a page of a wallet's orders, newest first."""
    query = Parameters(request)
    return await _page(request, query, query.read_text(parameters.WALLET_IN_PATH, request.path_params["wallet"]))


async def _page(request: Request[State], query: Parameters, wallet: str | None) -> Response:
    wanted = Filter(
        limit=query.read(parameters.LIMIT) or DEFAULT_LIMIT,
        before=query.read(parameters.CURSOR),
        wallet=wallet,
        status=query.read(parameters.STATUS),
        order_type=query.read(parameters.ORDER_TYPE),
    )
    query.check()
    page = await request.state["orders"].page(account_of(request), wanted)
    body: dict[str, Any] = {
        "data": [order_document(order) for order in page.orders],
        "nextCursor": encode_cursor(page.orders[-1].id) if page.more else None,
    }
    return JsonResponse(body)
