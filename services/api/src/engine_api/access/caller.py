"""Who asks, for the routes and sockets behind the gate."""

from typing import Any

from starlette.requests import HTTPConnection

from engine_api.access.keys import Caller


def caller_of(connection: HTTPConnection[Any]) -> Caller:
    """Return whom the gate let in with this request or WebSocket."""
    return connection.scope["caller"]


def account_of(connection: HTTPConnection[Any]) -> str:
    """Return the account to which everything belongs that the request or WebSocket asks for or makes."""
    return caller_of(connection).account
