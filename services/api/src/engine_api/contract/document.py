"""The OpenAPI document, written from the route table."""

import inspect
from collections import defaultdict
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from engine_api import __version__, problems
from engine_api.access.credentials import API_KEY_HEADER
from engine_api.contract.links import links_from
from engine_api.contract.operations import ApiRoute, Operation, SocketRoute
from engine_api.contract.schemas import EventDocument, OrderBody, Problem
from engine_api.parameters import Parameter
from engine_api.problems import UNAUTHORIZED, UNEXPECTED_MESSAGE, UPGRADE_REQUIRED, Kind
from engine_api.request_ids import HEADER as REQUEST_ID
from engine_api.streams.session import close_code

_REF = "#/components/schemas/{model}"

_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "where the order can be read", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true`: an earlier request with the same key had created the order",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "seconds", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "WWW-Authenticate": {"description": "how to say who you are", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "what is left of the quotas of the API key (draft-ietf-httpapi-ratelimit-headers)",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "the quotas of the API key", "schema": {"type": "string"}},
    REQUEST_ID: {
        "description": "the id that the client gave the request, or one of ours; log lines carry it",
        "schema": {"type": "string", "maxLength": 128},
    },
    "Accept-Encoding": {
        "description": "with `unsupported_content_encoding`: the encodings of bodies that are read",
        "schema": {"type": "string"},
    },
    "Allow": {"description": "the methods there are", "schema": {"type": "string"}},
}
_HEADERS_OF_STATUS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    415: ("Accept-Encoding",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_LIMITED = ("RateLimit", "RateLimit-Policy")

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
}
_SOCKET_SCHEMES = {
    "subprotocol": {
        "type": "apiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "`bearer, KEY`: for pages, which can set no other header on a WebSocket; answered with `bearer`",
    }
}

_DESCRIPTION = """\
Orders are stored before they are answered, and executed asynchronously; every state an order passes is an event.
Every refusal is a problem document (RFC 9457) whose `code` says which. WebSockets stand under `x-websockets`."""


def build(routes: Sequence[BaseRoute], *, keys_required: bool) -> dict[str, Any]:
    """Return the OpenAPI document of the routes; raise TypeError for a route that does not describe itself."""
    # An empty requirement among others makes them all optional.
    security: list[dict[str, list[str]]] = [] if keys_required else [{}]
    security += [{scheme: []} for scheme in _SCHEMES]
    socket_security = [*security, *({scheme: list[str]()} for scheme in _SOCKET_SCHEMES)]
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    sockets: dict[str, Any] = {}
    models: dict[type[BaseModel], None] = {Problem: None, OrderBody: None, EventDocument: None}
    described = [route for route in routes if isinstance(route, ApiRoute)]
    for route in routes:
        if isinstance(route, ApiRoute):
            models.update(dict.fromkeys(_models(route.operation)))
            public = route.operation.public
            paths[route.path_format][route.method.lower()] = _operation(route, described) | {
                "security": [] if public else security
            }
        elif isinstance(route, SocketRoute):
            models.update({} if route.first_message is None else {route.first_message: None})
            sockets[route.path_format] = _socket(route) | {"security": socket_security}
        else:
            raise TypeError(f"{route!r} says nothing for the contract")
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Order engine", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": {**_SCHEMES, **_SOCKET_SCHEMES}},
        "x-websockets": sockets,
    }


def _models(operation: Operation) -> list[type[BaseModel]]:
    return [model for model in (*operation.answers.values(), operation.body) if model is not None]


def _operation(route: ApiRoute, routes: Collection[ApiRoute]) -> dict[str, Any]:
    operation = route.operation
    document: dict[str, Any] = {
        "operationId": route.name,
        "summary": _summary(route.endpoint),
        "parameters": _parameters(operation.parameters),
        "responses": {**_answers(operation, routes), **_problems(operation)},
    }
    if operation.body is not None:
        document["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    return document


def _socket(route: SocketRoute) -> dict[str, Any]:
    closes: defaultdict[int, set[str]] = defaultdict(set)
    for kind in route.refusals:
        closes[close_code(kind)].add(kind.code)
    first = route.first_message
    return {
        "summary": _summary(route.endpoint),
        "parameters": _parameters(route.parameters),
        **({} if first is None else {"firstMessage": {"$ref": _REF.format(model=first.__name__)}}),
        "messages": {"$ref": _REF.format(model=EventDocument.__name__)},
        "problems": [UNEXPECTED_MESSAGE.code],  # a frame on its own, and the stream goes on
        "plainHttp": {str(UPGRADE_REQUIRED.status): [UPGRADE_REQUIRED.code]},
        "closes": {str(code): sorted(codes) for code, codes in sorted(closes.items())},
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


def _answers(operation: Operation, routes: Collection[ApiRoute]) -> dict[str, Any]:
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": _content("application/json", model),
            "headers": _headers(*operation.headers, *_always(operation)),
            "links": links_from(model, routes),
        }
        for status, model in operation.answers.items()
    }


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: defaultdict[int, list[Kind]] = defaultdict(list)
    for kind in operation.all_refusals:
        by_status[kind.status].append(kind)
    return {
        str(status): _problem(status, same, _always(operation) if status != UNAUTHORIZED.status else (REQUEST_ID,))
        for status, same in sorted(by_status.items())
    }


def _problem(status: int, kinds: Sequence[Kind], headers: Sequence[str]) -> dict[str, Any]:
    codes = {"properties": {"code": {"enum": [kind.code for kind in kinds]}, "status": {"const": status}}}
    schema = {"allOf": [{"$ref": _REF.format(model=Problem.__name__)}, codes]}
    return {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
        "headers": _headers(*_HEADERS_OF_STATUS.get(status, ()), *headers),
    }


def _always(operation: Operation) -> Sequence[str]:
    return (REQUEST_ID,) if operation.public else (REQUEST_ID, *_LIMITED)


def _headers(*names: str) -> dict[str, Any]:
    return {name: _HEADERS[name] for name in names}


def _content(media_type: str, model: type[BaseModel] | None) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)} if model else {"type": "object"}}}
