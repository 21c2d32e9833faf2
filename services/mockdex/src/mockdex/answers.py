"""HTTP answers of the hot paths, without a framework between them and the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_JSON = (b"content-type", b"application/json")
# The server's extension of the scope through which a connection is closed without an answer.
HANG_UP = "mockdex.hang_up"


class BodyTooLarge(Exception):
    """The request's body is larger than this service reads."""


class Answer(NamedTuple):
    """A JSON answer."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal(status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Make an error of the venues' form."""
    return Answer(status, orjson.dumps({"code": code, "message": message}), headers)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer by ASGI."""
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [_JSON, length, *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def read_body(receive: Receive, largest: int) -> bytes | None:
    """Read a request's body; None when the client went away; raise BodyTooLarge."""
    event = await receive()
    body: bytes = event.get("body", b"")
    while event.get("more_body") and len(body) <= largest:
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
