"""Whether a path, as it was sent, has the segments of a route; an encoded slash belongs to a segment and ends none."""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.types import Scope


def split(path_format: str) -> tuple[bytes | None, ...]:
    """Return the segments of a route, None for each that is a parameter."""
    return tuple(None if part.startswith("{") else part.encode() for part in path_format.split("/"))


def same(segments: Sequence[bytes | None], scope: Scope) -> bool:
    """Tell whether the path of the request has these segments.

    The router compares decoded paths only. Without this, `/api%2Forders` would be `/api/orders`, and a proxy that
    guards one of the two would let the other pass.
    """
    parts = scope["raw_path"].split(b"/")
    return len(parts) == len(segments) and all(
        segment is None or segment == part or segment == unquote_to_bytes(part)
        for segment, part in zip(segments, parts, strict=True)
    )
