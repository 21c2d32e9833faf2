"""The gate before every route: no one comes to one, known or not, without the caller having been looked at."""

from collections.abc import Collection

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from engine_api.access.doors import Doors
from engine_api.access.keys import Caller
from engine_api.access.quotas import Use
from engine_api.problems import Refusal
from engine_api.request_ids import add_headers
from engine_api.streams.session import turn_away
from engine_common.telemetry import tracing

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Leaves in the scope who the `caller` is; what is public passes without one."""

    def __init__(self, app: ASGIApp, public_paths: Collection[str]) -> None:
        self._app = app
        self._public = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Raises Refusal for a request; a socket is turned away here."""
        if scope["type"] == "http":
            if scope["path"] not in self._public:
                use = Use.READS if scope["method"] in _READING else Use.WRITES
                await _enter(scope, use)
        elif scope["type"] == "websocket":
            try:
                await _enter(scope, Use.READS)
            except Refusal as refusal:
                await turn_away(WebSocket(scope, receive, send), refusal)
                return
        await self._app(scope, receive, send)


async def _enter(scope: Scope, use: Use) -> None:
    """Let the caller in. Raises Refusal."""
    doors: Doors = scope["state"]["doors"]
    caller = scope["caller"] = doors.admit(scope)
    if caller.key is None:
        return
    _name_in_telemetry(caller)
    allowance = await doors.quotas.spend(caller, use)
    if allowance.refusal is not None:
        raise allowance.refusal
    add_headers(scope, allowance.headers)


def _name_in_telemetry(caller: Caller) -> None:
    structlog.contextvars.bind_contextvars(account=caller.account)
    tracing.annotate("engine.account", caller.account)
