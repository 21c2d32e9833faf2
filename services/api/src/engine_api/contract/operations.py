"""Routes that say of themselves what the contract has to say of them."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine_api.parameters import Parameter
from engine_api.problems import (
    HEAD_TOO_LARGE,
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    TOO_MANY_SOCKETS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Kind,
)

# What every request can meet, whatever it asks for.
_ANY = (MALFORMED_REQUEST, METHOD_NOT_ALLOWED, HEAD_TOO_LARGE, INTERNAL_ERROR)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route answers, refuses and takes; `public`: it needs no key, and does not count."""

    answers: Mapping[int, type[BaseModel] | None]
    refusals: Collection[Kind] = ()
    parameters: Collection[Parameter[Any]] = ()
    body: type[BaseModel] | None = None
    headers: Collection[str] = field(default=())
    public: bool = False

    @property
    def all_refusals(self) -> tuple[Kind, ...]:
        """The kinds of problem that it answers with."""
        guarded = () if self.public else (UNAUTHORIZED, RATE_LIMITED)
        slow = () if self.body is None else (REQUEST_TIMEOUT,)
        return (*self.refusals, *guarded, *slow, *_ANY)


class ApiRoute(Route):
    """A route of the contract; the endpoint's docstring is its summary."""

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Callable[[Request[Any]], Awaitable[Response]],
        operation: Operation,
        name: str | None = None,
    ) -> None:
        super().__init__(path, endpoint, methods=[method], name=name)
        self.method = method
        self.operation = operation


class SocketRoute(WebSocketRoute):
    """A WebSocket of the contract; OpenAPI has no words for it, so the document lists it beside the paths."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[WebSocket[Any]], Awaitable[None]],
        parameters: Collection[Parameter[Any]],
        refusals: Collection[Kind],
    ) -> None:
        super().__init__(path, endpoint)
        self.parameters = parameters
        self.refusals = (*refusals, UNAUTHORIZED, RATE_LIMITED, TOO_MANY_SOCKETS, INTERNAL_ERROR, UNAVAILABLE)


def public_paths(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Return the paths at which nothing needs a key."""
    described = [route for route in routes if isinstance(route, ApiRoute)]
    guarded = {route.path for route in described if not route.operation.public}
    return frozenset(route.path for route in described) - guarded
