"""The HTTP interface over an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from engine_common.telemetry import tracing
from mockdex.admin import AdminEndpoint
from mockdex.curves import VENUES
from mockdex.node_limits import NodeLimits
from mockdex.quotes import PoolsEndpoint, QuoteDesk, QuoteEndpoint
from mockdex.rpc import RpcEndpoint
from mockdex.rpc_methods import Methods
from mockdex.server import make_server
from mockdex.spans import Traced

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mockdex.exchange import Exchange
    from mockdex.server import Server

RPC_PATH = "/rpc"


class Entrance:
    """Serves JSON-RPC directly and leaves everything else to the framework."""

    def __init__(self, rpc: ASGIApp, app: ASGIApp) -> None:
        self._rpc = rpc
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await (self._rpc if scope["path"] == RPC_PATH else self._app)(scope, receive, send)


def open_desks(exchange: Exchange) -> dict[str, QuoteDesk]:
    """Open every venue's desk, by its path."""
    chain, markets, faults = exchange.chain, exchange.markets, exchange.faults
    return {f"/venues/{venue.name}/quote": QuoteDesk(venue, markets, chain, faults) for venue in VENUES}


def build_app(exchange: Exchange, desks: dict[str, QuoteDesk], admin_token: str | None) -> ASGIApp:
    """Build the application; without a token there is no /admin."""
    chain, markets, faults = exchange.chain, exchange.markets, exchange.faults
    rpc = RpcEndpoint(
        Methods(chain, exchange.driver, exchange.ledger, markets, faults), faults, NodeLimits(exchange.tuning)
    )
    routes = [Route(path, QuoteEndpoint(desk)) for path, desk in desks.items()]
    routes += _cold_routes(exchange, PoolsEndpoint(markets, chain))
    if admin_token:
        admin = AdminEndpoint(exchange.tuning, admin_token)
        routes.append(Route("/admin/settings", admin.answer, methods=["GET", "PATCH"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _answer_http_exception})
    tracing.instrument_asgi(app)
    return Entrance(Traced(rpc, RPC_PATH) if tracing.enabled() else rpc, app)


def make_service(exchange: Exchange, admin_token: str | None) -> Server:
    """Make the server of an exchange."""
    desks = open_desks(exchange)
    app = build_app(exchange, desks, admin_token)
    return make_server(app, desks)


def _cold_routes(exchange: Exchange, pools: PoolsEndpoint) -> list[Route]:
    venues = {venue.name: venue for venue in VENUES}

    async def list_pools(request: Request) -> Response:
        venue = venues.get(request.path_params["venue"])
        if venue is None:
            raise HTTPException(404, "there is no such venue")
        return pools.answer(venue)

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def ready(_request: Request) -> Response:
        checks = await exchange.ready()
        up = all(state == "up" for state in checks.values())
        return JSONResponse({"status": "up" if up else "down", **checks}, 200 if up else 503)

    return [
        Route("/venues/{venue}/pools", list_pools),
        Route("/ledger", exchange.ledger.answer),
        Route("/livez", live),
        Route("/readyz", ready),
    ]


async def _answer_http_exception(_request: Request, error: Exception) -> Response:
    status, message = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "failed")
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "error")
    return JSONResponse({"code": code, "message": message}, status)
