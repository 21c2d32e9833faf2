"""The ASGI application: routes, middleware and the state they share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from engine_api.access.credentials import API_KEY_HEADER
from engine_api.access.gate import Gate
from engine_api.access_log import AccessLog
from engine_api.boundary import ErrorBoundary, nothing_at, pass_on
from engine_api.components import State, assembled
from engine_api.contract.operations import public_paths
from engine_api.intake.idempotency import HEADER
from engine_api.request_ids import HEADER as REQUEST_ID
from engine_api.request_ids import RequestIds
from engine_api.routes.table import ROUTES
from engine_api.settings import ApiSettings
from engine_api.streams.session import turn_away
from engine_common.telemetry import tracing


def make_app(settings: ApiSettings) -> ASGIApp:
    """Return the application; its parts are put together when it starts to serve."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[State]:
        async with assembled(settings) as state:
            yield state

    app = Starlette(
        routes=ROUTES,
        middleware=[
            *([Middleware(AccessLog)] if settings.access_log else ()),
            *_cors(settings),
            Middleware(ErrorBoundary),
            Middleware(Gate, public_paths=public_paths(ROUTES)),
        ],
        exception_handlers={HTTPException: pass_on},
        lifespan=lifespan,
    )
    # A redirect would be the one answer that is neither a success nor a problem.
    app.router.redirect_slashes = False
    app.router.default = _nowhere
    tracing.instrument_asgi(app)
    return RequestIds(app)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is asked of an address without a route."""
    refusal = nothing_at(scope)
    if scope["type"] != "websocket":
        raise refusal
    await turn_away(WebSocket(scope, receive, send), refusal)


def _cors(settings: ApiSettings) -> list[Middleware]:
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", API_KEY_HEADER, "Content-Type", HEADER, REQUEST_ID, "traceparent"),
            expose_headers=(
                "Location",
                "Retry-After",
                "Idempotency-Replayed",
                "RateLimit",
                "RateLimit-Policy",
                "WWW-Authenticate",
                REQUEST_ID,
            ),
        )
    ]
