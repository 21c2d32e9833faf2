"""HTTP answers of the hot paths, without a framework between them and the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_JSON = (b"content-type", b"application/json")
# The server's extension of the scope through which a connection is closed without an answer.
HANG_UP = "mockdex.hang_up"


class BodyTooLarge(Exception):
    """The request's body is larger than this service reads."""


async def answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a JSON answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
    """Send an error of the venues' form."""
    await answer(send, status, orjson.dumps({"code": code, "message": message}), *headers)


async def read_body(receive: Receive, largest: int) -> bytes | None:
    """Read a request's body; None when the client went away; raise BodyTooLarge."""
    event = await receive()
    body: bytes = event.get("body", b"")
    while event.get("more_body"):
        event = await receive()
        body += event.get("body", b"")
        if len(body) > largest:
            raise BodyTooLarge
    return None if event["type"] == "http.disconnect" else body


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer."""
    scope["extensions"][HANG_UP]()
    while (await receive())["type"] != "http.disconnect":
        pass
