"""Routes that say of themselves what the contract has to say of them."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from engine_api.contract import segments
from engine_api.parameters import Parameter, Parameters
from engine_api.problems import (
    HEAD_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_PARAMETER,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    TOO_MANY_SOCKETS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Kind,
)

Endpoint = Callable[[Request[Any]], Awaitable[Response]]

# What every request can meet, whatever it asks for.
_ANY = (MALFORMED_REQUEST, METHOD_NOT_ALLOWED, HEAD_TOO_LARGE, INTERNAL_ERROR, NOT_IMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route answers, refuses and takes; `public`: it needs no key, and does not count.

    `any_query`: the query is not looked at. This is for probes only: a parameter cannot change what they answer, and
    refusing one that a load balancer adds would take a healthy process out of service.
    """

    answers: Mapping[int, type[BaseModel] | None]
    refusals: Collection[Kind] = ()
    parameters: Collection[Parameter[Any]] = ()
    body: type[BaseModel] | None = None
    headers: Collection[str] = field(default=())
    public: bool = False
    any_query: bool = False

    @property
    def all_refusals(self) -> tuple[Kind, ...]:
        """The kinds of problem that it answers with."""
        guarded = () if self.public else (UNAUTHORIZED, RATE_LIMITED)
        slow = () if self.body is None else (REQUEST_TIMEOUT,)
        unknown = () if self.any_query else (INVALID_PARAMETER,)
        return tuple(dict.fromkeys((*self.refusals, *guarded, *slow, *unknown, *_ANY)))


class ApiRoute(Route):
    """A route of the contract; the endpoint's docstring is its summary."""

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        operation: Operation,
        name: str | None = None,
    ) -> None:
        self.query_names = _query_names(operation.parameters)
        takes_none = not self.query_names and not operation.any_query
        super().__init__(path, _without_query(endpoint) if takes_none else endpoint, methods=[method], name=name)
        self.method = method
        self.operation = operation
        self._segments = segments.split(self.path_format)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the segments of the path as it was sent."""
        match, child = super().matches(scope)
        return (
            (Match.NONE, {}) if match is not Match.NONE and not segments.same(self._segments, scope) else (match, child)
        )


class SocketRoute(WebSocketRoute):
    """A WebSocket of the contract; OpenAPI has no words for it, so the document lists it beside the paths."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[WebSocket[Any]], Awaitable[None]],
        parameters: Collection[Parameter[Any]],
        refusals: Collection[Kind],
        first_message: type[BaseModel] | None = None,
    ) -> None:
        super().__init__(path, endpoint)
        self.parameters = parameters
        self.first_message = first_message
        self.query_names = _query_names(parameters)
        self._segments = segments.split(self.path_format)
        self.refusals = (
            *refusals,
            UNAUTHORIZED,
            RATE_LIMITED,
            TOO_MANY_SOCKETS,
            INTERNAL_ERROR,
            UNAVAILABLE,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the segments of the path as it was sent."""
        match, child = super().matches(scope)
        return (
            (Match.NONE, {}) if match is not Match.NONE and not segments.same(self._segments, scope) else (match, child)
        )

    def is_at(self, scope: Scope) -> bool:
        """Tell whether this is the address of a request that asks for no WebSocket."""
        return self.matches({**scope, "type": "websocket"})[0] is not Match.NONE


def _query_names(parameters: Iterable[Parameter[Any]]) -> frozenset[str]:
    return frozenset(parameter.name for parameter in parameters if parameter.place == "query")


def _without_query(endpoint: Endpoint) -> Endpoint:
    """Refuse every query parameter before the endpoint runs, which takes none and so would not look."""

    @wraps(endpoint)
    async def checked(request: Request[Any]) -> Response:
        if request.scope["query_string"]:
            Parameters(request).check()
        return await endpoint(request)

    return checked


def public_paths(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Return the paths at which nothing needs a key."""
    described = [route for route in routes if isinstance(route, ApiRoute)]
    guarded = {route.path for route in described if not route.operation.public}
    return frozenset(route.path for route in described) - guarded
