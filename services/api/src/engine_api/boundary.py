"""The one place where exceptions become answers."""

import contextlib
import logging
from typing import NoReturn
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine_api import measurements, problems
from engine_api.contract.operations import SocketRoute
from engine_api.problems import Refusal
from engine_common.errors import StoreUnavailable
from engine_common.store.pool import TROUBLE

log = logging.getLogger(__name__)


def as_refusal(error: Exception, scope: Scope) -> Refusal:
    """Return what the client hears of the error; what nobody foresaw is logged here, once, and stays inside."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        return _routing_refusal(error, scope)
    if isinstance(error, (StoreUnavailable, *TROUBLE)):
        return Refusal(problems.UNAVAILABLE, "the database does not answer; nothing was stored")
    log.error("unexpected error at %s", _place(scope), exc_info=error)
    return Refusal(problems.INTERNAL_ERROR, "something went wrong here; the trace id helps to find out what")


def _place(scope: Scope) -> str:
    """Return the route, with ids but without anything else that a client has put there: it might be a secret."""
    route = scope.get("route")
    place = "an address without a route" if route is None else route.path_format
    for name, value in scope.get("path_params", {}).items():
        with contextlib.suppress(ValueError):
            place = place.replace(f"{{{name}}}", str(UUID(str(value))))
    return place


def _routing_refusal(error: HTTPException, scope: Scope) -> Refusal:
    if error.status_code == problems.METHOD_NOT_ALLOWED.status and not _is_of_socket(scope):
        return _not_allowed(scope)
    return nothing_at(scope)


def nothing_at(scope: Scope) -> Refusal:
    """Return the refusal of a request to an address without a route for it: a WebSocket's address, or none at all."""
    if scope["type"] != "http" or not _is_of_socket(scope):
        return Refusal(problems.NOT_FOUND, "there is nothing at this address")
    if scope["method"] in ("GET", "HEAD"):
        return Refusal(
            problems.UPGRADE_REQUIRED,
            "this is the address of a WebSocket: open it with a WebSocket client, which asks for the upgrade",
            headers={"upgrade": "websocket", "connection": "upgrade"},
        )
    return _not_allowed(scope)


def _not_allowed(scope: Scope) -> Refusal:
    allowed = ", ".join(_allowed_methods(scope))
    return Refusal(problems.METHOD_NOT_ALLOWED, f"allowed here: {allowed}", headers={"allow": allowed})


def _is_of_socket(scope: Scope) -> bool:
    return any(isinstance(route, SocketRoute) and route.is_at(scope) for route in scope["app"].routes)


def _allowed_methods(scope: Scope) -> list[str]:
    """Collect the methods of all routes of the path: the router knows only those of the first."""
    matching = (route for route in scope["app"].routes if route.matches(scope)[0] is Match.PARTIAL)
    # Where only a WebSocket is, GET is what asks for one.
    return sorted({method for route in matching for method in route.methods}) or ["GET"]


async def pass_on(_request: Request, error: Exception) -> NoReturn:
    """Leave a routing error to the boundary, as all others are."""
    raise error


class ErrorBoundary:
    """Answers every failed HTTP request with a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other connections pass untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as error:
            if started:
                raise
            refusal = as_refusal(error, scope)
            measurements.count_refused(refusal.kind.code)
            await problems.answer(refusal)(scope, receive, send)
