"""Routes that say of themselves what the contract has to say of them."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine_api.parameters import Parameter
from engine_api.problems import INTERNAL_ERROR, METHOD_NOT_ALLOWED, Kind


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route answers, refuses and takes; every route can also meet the wrong method and an error of ours."""

    answers: Mapping[int, type[BaseModel] | None]
    refusals: Collection[Kind] = ()
    parameters: Collection[Parameter[Any]] = ()
    body: type[BaseModel] | None = None
    headers: Collection[str] = field(default=())

    @property
    def all_refusals(self) -> tuple[Kind, ...]:
        """The kinds of problem that it answers with."""
        return (*self.refusals, METHOD_NOT_ALLOWED, INTERNAL_ERROR)


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
    ) -> None:
        super().__init__(path, endpoint)
        self.parameters = parameters
