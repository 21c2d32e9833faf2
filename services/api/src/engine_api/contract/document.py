"""The OpenAPI document, written from the route table."""

import inspect
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from engine_api import __version__, problems
from engine_api.contract.operations import ApiRoute, Operation, SocketRoute
from engine_api.contract.schemas import EventDocument, OrderBody, Problem
from engine_api.parameters import Parameter
from engine_api.problems import Kind

_REF = "#/components/schemas/{model}"

_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "where the order can be read", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true`: an earlier request with the same key had created the order",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "seconds", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Allow": {"description": "the methods there are", "schema": {"type": "string"}},
}
_HEADERS_OF_STATUS = {503: ("Retry-After",), 405: ("Allow",)}

_DESCRIPTION = """\
Orders are stored before they are answered, and executed asynchronously; every state an order passes is an event.
Every refusal is a problem document (RFC 9457) whose `code` says which. WebSockets stand under `x-websockets`."""


def build(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of the routes; raise TypeError for a route that does not describe itself."""
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    sockets: dict[str, Any] = {}
    models: dict[type[BaseModel], None] = {Problem: None, OrderBody: None, EventDocument: None}
    for route in routes:
        if isinstance(route, ApiRoute):
            models.update(dict.fromkeys(_models(route.operation)))
            paths[route.path_format][route.method.lower()] = _operation(route)
        elif isinstance(route, SocketRoute):
            sockets[route.path_format] = _socket(route)
        else:
            raise TypeError(f"{route!r} says nothing for the contract")
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Order engine", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
        "x-websockets": sockets,
    }


def _models(operation: Operation) -> list[type[BaseModel]]:
    return [model for model in (*operation.answers.values(), operation.body) if model is not None]


def _operation(route: ApiRoute) -> dict[str, Any]:
    operation = route.operation
    document: dict[str, Any] = {
        "operationId": route.name,
        "summary": _summary(route.endpoint),
        "parameters": _parameters(operation.parameters),
        "responses": {**_answers(operation), **_problems(operation.all_refusals)},
    }
    if operation.body is not None:
        document["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    return document


def _socket(route: SocketRoute) -> dict[str, Any]:
    return {
        "summary": _summary(route.endpoint),
        "parameters": _parameters(route.parameters),
        "messages": {"$ref": _REF.format(model=EventDocument.__name__)},
    }


def _summary(endpoint: Any) -> str:
    return (inspect.getdoc(endpoint) or "").partition("\n")[0]


def _parameters(parameters: Collection[Parameter[Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.place == "path",
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in parameters
    ]


def _answers(operation: Operation) -> dict[str, Any]:
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": _content("application/json", model),
            "headers": {name: _HEADERS[name] for name in operation.headers},
        }
        for status, model in operation.answers.items()
    }


def _problems(kinds: Sequence[Kind]) -> dict[str, Any]:
    by_status: defaultdict[int, list[Kind]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {str(status): _problem(status, same) for status, same in sorted(by_status.items())}


def _problem(status: int, kinds: Sequence[Kind]) -> dict[str, Any]:
    codes = {"properties": {"code": {"enum": [kind.code for kind in kinds]}, "status": {"const": status}}}
    schema = {"allOf": [{"$ref": _REF.format(model=Problem.__name__)}, codes]}
    return {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
        "headers": {name: _HEADERS[name] for name in _HEADERS_OF_STATUS.get(status, ())},
    }


def _content(media_type: str, model: type[BaseModel] | None) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)} if model else {"type": "object"}}}
