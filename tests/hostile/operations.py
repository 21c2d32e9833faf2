"""The operations of an OpenAPI document, as far as a fuzzer has to know them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: its name, its place and what its schema allows."""

    name: str
    place: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """A method on a path, with its parameters and the names of its body's fields."""

    method: str
    path: str
    parameters: tuple[Parameter, ...]
    fields: tuple[str, ...]


def operations_of(document: dict[str, Any]) -> tuple[Operation, ...]:
    """Return every operation of the document; a new route is attacked as soon as it stands there."""
    return tuple(
        Operation(
            method=method.upper(),
            path=path,
            parameters=tuple(
                Parameter(one["name"], one["in"], one.get("schema", {})) for one in operation.get("parameters", [])
            ),
            fields=tuple(_fields(document, operation)),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )


def _fields(document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = document["components"]["schemas"].get(reference.rpartition("/")[2], {})
    return list(schema.get("properties", {}))
