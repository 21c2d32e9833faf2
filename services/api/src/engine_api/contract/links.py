"""Links of the OpenAPI document: what can be asked next with what an answer holds."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from engine_api.contract.operations import ApiRoute


def links_from(model: type[BaseModel] | None, routes: Iterable[ApiRoute]) -> dict[str, Any]:
    """Return a link to every operation that has a parameter in its path whose value is a member of the answer."""
    members = {field.alias for field in model.model_fields.values()} if model else set[str | None]()
    return {
        route.name: {
            "operationId": route.name,
            "parameters": {
                parameter.name: f"$response.body#/{parameter.found_as}"
                for parameter in route.operation.parameters
                if parameter.found_as in members
            },
        }
        for route in routes
        if any(parameter.found_as in members for parameter in route.operation.parameters)
    }
