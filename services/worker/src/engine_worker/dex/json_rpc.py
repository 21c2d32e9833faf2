"""JSON-RPC 2.0 over HTTP; calls made at the same moment travel together, as far as the node takes them together.

A node limits requests by bytes (413), by number of calls (413, or 400 for any array), and by their rate (429). What it
refuses is sent again in smaller requests, and the limit is remembered for a while.
"""

import asyncio
import contextvars
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from engine_common.errors import Unreachable
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_worker import measurements
from engine_worker.dex.http_client import HttpClient, NoAnswer, Response
from engine_worker.dex.node_limits import NodeLimits

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 5.0
_PATH = "/rpc"
_INVALID_REQUEST = -32600
# A stock validator's server answers 413 to a large body, others 400 or 501 to an array.
_REFUSES_ARRAYS = (HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_REFUSES_US = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class RpcRefusal(Exception):
    """The node answered the call with an error."""

    def __init__(self, code: int, message: str, data: object) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.data = data


@dataclass(slots=True, eq=False)
class _Call:
    id: int
    method: str
    text: bytes
    answer: asyncio.Future[Any]
    context: TraceContext | None


class JsonRpc:
    """Calls a node. Orders advance in groups, and so do their calls: one turn of the event loop is one request."""

    def __init__(self, http: HttpClient, limits: NodeLimits | None = None) -> None:
        self._http = http
        self._ids = itertools.count(1)
        self._calls: list[_Call] = []
        self._requests: set[asyncio.Task[None]] = set()
        self._limits = limits or NodeLimits()
        self._starting = False

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """Return the call's result. Raises RpcRefusal, or Unreachable when there is no usable answer."""
        number = next(self._ids)
        text = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        call = _Call(number, method, text, asyncio.get_running_loop().create_future(), tracing.current())
        self._calls.append(call)
        self._start_soon()
        return await call.answer

    def _start_soon(self) -> None:
        """Send what waits at the end of this turn of the event loop, or when the node may be asked again."""
        if self._starting:
            return
        self._starting = True
        loop = asyncio.get_running_loop()
        pause_s = self._limits.pause_s(loop.time())
        if pause_s > 0:
            loop.call_later(pause_s, self._start)
        else:
            loop.call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        loop = asyncio.get_running_loop()
        waiting = [call for call in self._calls if not call.answer.done()]
        self._calls = []
        while waiting:
            taken = self._limits.take([len(call.text) for call in waiting], loop.time())
            batch, waiting = waiting[:taken], waiting[taken:]
            # A lone call belongs to its order's trace; a batch has one of its own, linked to those of its calls.
            context = None if len(batch) == 1 else contextvars.Context()
            request = loop.create_task(self._request(batch), context=context)
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            if waiting and self._limits.pause_s(loop.time()) > 0:
                self._calls = waiting
                self._start_soon()
                return

    async def _request(self, calls: Sequence[_Call]) -> None:
        measurements.record_batch("rpc", len(calls))
        try:
            response = await self._post(calls)
            if response.status == HTTPStatus.OK:
                self._read(calls, response)
            elif not self._again(calls, response):
                _fail(calls, Unreachable(f"the chain did not answer: it answered {response.status}"))
        except NoAnswer as error:
            _fail(calls, Unreachable(f"the chain did not answer: {error}"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Whatever is wrong with it: nobody may be left waiting for an answer that cannot be read.
            _fail(calls, Unreachable(f"the chain's answer cannot be read: {error!r}"))

    async def _post(self, calls: Sequence[_Call]) -> Response:
        single = len(calls) == 1
        body = calls[0].text if single else b"[%b]" % b",".join(call.text for call in calls)
        links = () if single else [call.context for call in calls if call.context]
        try:
            return await self._http.post(_PATH, body, "application/json", within_s=_ANSWER_WITHIN_S, links=links)
        except BaseException:
            _fail(calls, Unreachable("the request ended without an answer"))
            raise

    def _read(self, calls: Sequence[_Call], response: Response) -> None:
        """Give each call its answer. One that answers nothing of what was asked is another request's."""
        answer: list[dict[str, Any]] | dict[str, Any] = orjson.loads(response.body)
        if len(calls) > 1 and _refuses_the_array(answer):
            self._refuse_arrays(calls)
            return
        answers = {each["id"]: each for each in (answer if isinstance(answer, list) else [answer])}
        if not answers.keys() & {call.id for call in calls}:
            response.discard()
        for call in calls:
            _resolve(call, answers.get(call.id))

    def _again(self, calls: Sequence[_Call], response: Response) -> bool:
        """Learn from a refusal, and tell whether the calls are sent again in another way."""
        now = asyncio.get_running_loop().time()
        measurements.record_node_refusal(response.status)
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(calls) > 1:
            size = sum(len(call.text) + 1 for call in calls) + 1
            self._limits.too_large(size, len(calls), now)
            log.info("the node refuses a batch of %d calls and %d bytes: smaller ones follow", len(calls), size)
            self._send_again(calls)
            return True
        if response.status in _REFUSES_ARRAYS and len(calls) > 1:
            self._refuse_arrays(calls)
            return True
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            log.error("the node refuses a call of %d bytes as too large: %s", len(calls[0].text), calls[0].method)
        if response.status == HTTPStatus.TOO_MANY_REQUESTS and self._limits.too_many(response.retry_after_s, now):
            log.warning("the node limits the rate of requests: they are sent at longer intervals (DEX_URL)")
        if response.status in _REFUSES_US and self._limits.complain(now):
            log.error("the node answers %d: check the key, user and password in DEX_URL", response.status)
        return False

    def _refuse_arrays(self, calls: Sequence[_Call]) -> None:
        self._limits.no_arrays(asyncio.get_running_loop().time())
        log.info("the node takes no arrays of calls: they are sent one by one")
        self._send_again(calls)

    def _send_again(self, calls: Sequence[_Call]) -> None:
        self._calls = [*calls, *self._calls]
        self._start_soon()


def _refuses_the_array(answer: list[dict[str, Any]] | dict[str, Any]) -> bool:
    """Tell whether one error stands for all calls, as JSON-RPC answers what it does not take for a request."""
    if not isinstance(answer, dict) or answer.get("id") is not None:
        return False
    return answer["error"]["code"] == _INVALID_REQUEST


def _fail(calls: Sequence[_Call], error: Exception) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_exception(error)


def _resolve(call: _Call, answer: Any) -> None:
    if call.answer.done():
        return
    if answer is None:
        call.answer.set_exception(Unreachable(f"the chain did not answer {call.method}"))
        return
    try:
        if "error" in answer:
            error = answer["error"]
            call.answer.set_exception(RpcRefusal(error["code"], error["message"], error.get("data")))
        else:
            call.answer.set_result(answer["result"])
    except (KeyError, TypeError, AttributeError) as error:
        call.answer.set_exception(Unreachable(f"the chain's answer to {call.method} is unusable: {error!r}"))
