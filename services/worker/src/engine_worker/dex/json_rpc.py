"""JSON-RPC 2.0 over HTTP; calls made at the same moment travel together as one batch."""

import asyncio
import contextvars
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from engine_common.errors import Unreachable
from engine_common.telemetry import tracing
from engine_common.telemetry.tracing import TraceContext
from engine_worker import measurements
from engine_worker.dex.http_client import HttpClient, NoAnswer

_ANSWER_WITHIN_S = 5.0
_MAX_BATCH = 200
_TARGET = "/rpc"


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
    params: Sequence[Any]
    answer: asyncio.Future[Any]
    context: TraceContext | None

    @property
    def document(self) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "method": self.method, "params": self.params}


class JsonRpc:
    """Calls a node. Orders advance in groups, and so do their calls: one turn of the event loop is one request."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._ids = itertools.count(1)
        self._calls: list[_Call] = []
        self._requests: set[asyncio.Task[None]] = set()

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """Return the call's result. Raises RpcRefusal, or Unreachable when there is no usable answer."""
        loop = asyncio.get_running_loop()
        call = _Call(next(self._ids), method, params, loop.create_future(), tracing.current())
        if not self._calls:
            loop.call_soon(self._start)
        self._calls.append(call)
        return await call.answer

    def _start(self) -> None:
        calls = [call for call in self._calls if not call.answer.done()]
        self._calls = []
        for first in range(0, len(calls), _MAX_BATCH):
            batch = calls[first : first + _MAX_BATCH]
            # A lone call belongs to its order's trace; a batch has one of its own, linked to those of its calls.
            context = None if len(batch) == 1 else contextvars.Context()
            request = asyncio.get_running_loop().create_task(self._request(batch), context=context)
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _request(self, calls: Sequence[_Call]) -> None:
        measurements.record_batch("rpc", len(calls))
        try:
            answers = await self._post(calls)
            for call in calls:
                _resolve(call, answers.get(call.id))
        except NoAnswer as error:
            _fail(calls, Unreachable(f"the chain did not answer: {error}"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Whatever is wrong with it: nobody may be left waiting for an answer that cannot be read.
            _fail(calls, Unreachable(f"the chain's answer cannot be read: {error!r}"))
        finally:
            _fail(calls, Unreachable("the request ended without an answer"))

    async def _post(self, calls: Sequence[_Call]) -> dict[int, Any]:
        single = len(calls) == 1
        body = orjson.dumps(calls[0].document if single else [call.document for call in calls])
        links = () if single else [call.context for call in calls if call.context]
        response = await self._http.post(_TARGET, body, "application/json", within_s=_ANSWER_WITHIN_S, links=links)
        if response.status != HTTPStatus.OK:
            raise NoAnswer(f"it answered {response.status}")
        answer: list[dict[str, Any]] | dict[str, Any] = orjson.loads(response.body)
        answers = answer if isinstance(answer, list) else [answer]
        return {each["id"]: each for each in answers}


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
