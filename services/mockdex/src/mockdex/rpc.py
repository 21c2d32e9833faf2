"""JSON-RPC 2.0: the subset of Solana's methods that an engine needs, single calls and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from mockdex.answers import Answer, BodyTooLarge, hang_up, read_body, refusal, send_answer
from mockdex.rpc_methods import Deferred, ReplyLost, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from mockdex.faults import Faults
    from mockdex.node_limits import NodeLimits
    from mockdex.rpc_methods import Methods

LARGEST_BATCH = 512
_WRONG_METHOD = refusal(405, "method_not_allowed", "JSON-RPC is spoken by POST", (b"allow", b"POST"))
_LIMITED = refusal(429, "rate_limited", "too many requests", (b"retry-after", b"1"))
_UNAVAILABLE = refusal(503, "unavailable", "the node is unavailable")
_PARSE_ERROR, _INVALID_REQUEST, _METHOD_NOT_FOUND = -32700, -32600, -32601


class _Waiting(NamedTuple):
    """The reply to a call whose result is not there yet."""

    identity: Any
    result: Deferred


class RpcEndpoint:
    """`POST /rpc` as an ASGI application."""

    def __init__(self, methods: Methods, faults: Faults, limits: NodeLimits) -> None:
        self._calls: dict[str, Callable[[list[Any]], Any]] = methods.by_name()
        self._faults = faults
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] != "POST":
            await send_answer(send, _WRONG_METHOD)
            return
        if refused := self._limits.refuse_caller(scope["query_string"]) or self._limits.refuse_rate():
            await send_answer(send, refused)
            return
        try:
            body = await read_body(receive, self._limits.max_body_bytes)
        except BodyTooLarge:
            await send_answer(send, self._limits.refuse_body())
            return
        if body is None:
            return
        if self._faults.strikes("rate_limit_rate"):
            await send_answer(send, _LIMITED)
        elif self._faults.strikes("rpc_error_rate"):
            await send_answer(send, _UNAVAILABLE)
        elif (replies := await self._replies(body)) is None:
            await hang_up(scope, receive)
        elif isinstance(replies, Answer):
            await send_answer(send, replies)
        else:
            await send_answer(send, Answer(200, orjson.dumps(replies)))

    async def _replies(self, body: bytes) -> Any:
        """Work out the replies, or the refusal of all calls together; None when the answer is lost."""
        try:
            request: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _error(None, _PARSE_ERROR, "Parse error")
        if not isinstance(request, list):
            return await _settle(self._call(request))
        calls = cast("list[Any]", request)
        if refused := self._limits.refuse_batch(len(calls)):
            return refused
        if not 0 < len(calls) <= LARGEST_BATCH:
            return _error(None, _INVALID_REQUEST, f"a batch has 1 to {LARGEST_BATCH} calls")
        replies = [self._call(call) for call in calls]
        return [reply for each in replies if (reply := await _settle(each)) is not None]

    def _call(self, call: Any) -> dict[str, Any] | _Waiting:
        """Return a reply, or what has to be waited for before there is one."""
        fields = cast("dict[str, Any]", call) if isinstance(call, dict) else {}
        identity, name = fields.get("id"), fields.get("method")
        params: Any = fields.get("params") or []
        if "id" not in fields or not isinstance(name, str) or not isinstance(params, list):
            return _error(identity, _INVALID_REQUEST, "Invalid Request: it has an id, a method and a list of params")
        method = self._calls.get(name)
        if method is None:
            return _error(identity, _METHOD_NOT_FOUND, "Method not found")
        try:
            result = method(cast("list[Any]", params))
        except RpcError as error:
            return _error(identity, error.code, error.message, error.data)
        if isinstance(result, Deferred):
            return _Waiting(identity, result)
        return {"jsonrpc": "2.0", "result": result, "id": identity}


async def _settle(reply: dict[str, Any] | _Waiting) -> dict[str, Any] | None:
    if not isinstance(reply, _Waiting):
        return reply
    try:
        result = await reply.result.wait()
    except ReplyLost:
        return None
    return {"jsonrpc": "2.0", "result": result, "id": reply.identity}


def _error(identity: Any, code: int, message: str, data: Any = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "error": error, "id": identity}
