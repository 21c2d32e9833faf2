"""Reading what Kubernetes says of its objects, where almost every part may be absent."""

from collections.abc import Mapping
from typing import Any, cast

Document = Mapping[str, Any]


def part(document: Document, *path: str) -> Document:
    """Return the object at a path, an empty one where there is none."""
    found = _at(document, path)
    return cast("Document", found) if isinstance(found, Mapping) else {}


def parts(document: Document, *path: str) -> list[Document]:
    """Return the list of objects at a path, an empty one where there is none."""
    found = _at(document, path)
    return cast("list[Document]", found) if isinstance(found, list) else []


def text(document: Document, *path: str) -> str:
    """Return the text at a path, an empty one where there is none."""
    found = _at(document, path)
    return "" if found is None else str(found)


def condition(document: Document, kind: str) -> Document:
    """Return the status condition of a kind, an empty one where there is none."""
    nothing: Document = {}
    return next((each for each in parts(document, "status", "conditions") if each.get("type") == kind), nothing)


def is_ready(pod: Document) -> bool:
    """Tell whether a pod is ready."""
    return condition(pod, "Ready").get("status") == "True"


def _at(document: Document, path: tuple[str, ...]) -> object:
    found: Any = document
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = cast("Document", found).get(name)
    return found
