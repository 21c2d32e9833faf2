"""The API key of a request or WebSocket, wherever a client may put it; never in a query, which ends up in logs."""

from starlette.types import Scope

from engine_api.problems import UNAUTHORIZED, Refusal

BEARER = "bearer"
API_KEY_HEADER = "X-API-Key"

_BLANKS = b" \t"  # those of HTTP
_CHALLENGE = {"www-authenticate": "Bearer"}


def unauthorized(detail: str) -> Refusal:
    """Return the refusal of who has no valid key."""
    return Refusal(UNAUTHORIZED, detail, headers=_CHALLENGE)


def read_api_key(scope: Scope) -> bytes:
    """Return the key that is given, in one place or the same in several, as it came. Raises Refusal."""
    given: set[bytes] = set()
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.strip(_BLANKS).partition(b" ")
            if scheme.lower() == b"bearer":
                given.add(token.strip(_BLANKS))
        elif name == b"x-api-key":
            given.add(value.strip(_BLANKS))
    given.update(_offered_key(scope))
    if not given:
        raise unauthorized("an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
    if len(given) > 1:
        raise unauthorized("two different API keys were given: send one")
    return given.pop()


def _offered_key(scope: Scope) -> list[bytes]:
    """Return what follows `bearer` in Sec-WebSocket-Protocol, the one header that a page can set on a WebSocket."""
    offered: list[str] = scope.get("subprotocols", [])
    if BEARER not in offered:
        return []
    return [key.encode("latin-1", "surrogateescape") for key in offered[offered.index(BEARER) + 1 :][:1]]


def subprotocol(scope: Scope) -> str | None:
    """Return the WebSocket subprotocol to answer with: browsers give up when they offered one and none is taken."""
    return BEARER if BEARER in scope.get("subprotocols", ()) else None
