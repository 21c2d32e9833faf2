"""JSON-RPC over HTTP: what travels together, and that every call ends, whatever the node answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from devstack.ports import free_port
from engine_common.errors import Unreachable
from engine_worker.dex import node_limits
from engine_worker.dex.http_client import HttpClient
from engine_worker.dex.json_rpc import JsonRpc, RpcRefusal
from support.web import Said, answering_server


def echo(asked: bytes) -> bytes:
    """Answer every call with its own parameters."""
    calls = orjson.loads(asked)
    answers = [{"jsonrpc": "2.0", "id": call["id"], "result": call["params"]} for call in as_list(calls)]
    return orjson.dumps(answers if isinstance(calls, list) else answers[0])


_WHOLE_BATCH_REFUSED = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are off"}}'


def as_list(calls: Any) -> list[Any]:
    return calls if isinstance(calls, list) else [calls]


@pytest.fixture
async def node() -> AsyncIterator[Said]:
    async with answering_server() as server:
        server.body = echo
        yield server


@pytest.fixture
async def rpc(node: Said) -> AsyncIterator[JsonRpc]:
    async with aclosing(HttpClient(node.url, max_connections=8)) as http:
        yield JsonRpc(http)


async def test_a_lone_call_travels_alone(rpc: JsonRpc, node: Said) -> None:
    """As Solana's documentation shows it."""
    assert await rpc.call("getBlockHeight", ["finalized"]) == ["finalized"]
    ((path, body),) = node.requests
    call = orjson.loads(body)
    assert path == "/rpc"
    assert (call["jsonrpc"], call["method"], call["params"]) == ("2.0", "getBlockHeight", ["finalized"])


async def test_calls_of_the_same_moment_travel_as_one_batch(rpc: JsonRpc, node: Said) -> None:
    """Each gets its own answer, in whatever order the node gives them."""
    node.body = lambda asked: orjson.dumps(orjson.loads(echo(asked))[::-1])
    assert await asyncio.gather(*(rpc.call("m", [i]) for i in range(50))) == [[i] for i in range(50)]
    assert len(node.requests) == 1


async def test_a_batch_never_exceeds_what_nodes_take(rpc: JsonRpc, node: Said) -> None:
    """More of them are several requests."""
    await asyncio.gather(*(rpc.call("m", [i]) for i in range(450)))
    sizes = [len(orjson.loads(body)) for _, body in node.requests]
    assert sum(sizes) == 450
    assert max(sizes) <= 512


async def test_an_error_is_a_refusal_of_its_call_alone(rpc: JsonRpc, node: Said) -> None:
    """With the code and the data that say why."""

    def refuse_the_second(asked: bytes) -> bytes:
        first, second = orjson.loads(echo(asked))
        error = {"code": -32002, "message": "no", "data": {"err": "AlreadyProcessed"}}
        return orjson.dumps([first, {"jsonrpc": "2.0", "id": second["id"], "error": error}])

    node.body = refuse_the_second
    answers = await asyncio.gather(rpc.call("m", [1]), rpc.call("m", [2]), return_exceptions=True)
    assert answers[0] == [1]
    assert isinstance(answers[1], RpcRefusal)
    assert (answers[1].code, answers[1].data) == (-32002, {"err": "AlreadyProcessed"})


async def test_a_call_without_an_answer_in_the_batch_is_undecided(rpc: JsonRpc, node: Said) -> None:
    """A lost reply says nothing; its neighbours' answers count."""
    node.body = lambda asked: orjson.dumps(orjson.loads(echo(asked))[:1])
    answers = await asyncio.gather(rpc.call("m", [1]), rpc.call("m", [2]), return_exceptions=True)
    assert answers[0] == [1]
    assert isinstance(answers[1], Unreachable)


def limiting(node: Said, refuses: Callable[[Any, bytes], tuple[int, bytes] | None]) -> None:
    """Let the node answer what `refuses` returns for the parsed body and its text, and echo the rest."""

    def answer(asked: bytes) -> bytes:
        refused = refuses(orjson.loads(asked), asked)
        node.status, text = refused or (200, echo(asked))
        return text

    node.body = answer


async def test_no_request_is_larger_than_a_stock_validator_takes(rpc: JsonRpc, node: Said) -> None:
    """50 KiB, brackets and commas included; the calls are spread over as many requests as that takes."""
    limiting(node, lambda _, text: (413, b"") if len(text) > 51_200 else None)
    transaction = "x" * 1_600
    answers = await asyncio.gather(*(rpc.call("sendTransaction", [transaction, i]) for i in range(200)))
    assert answers == [[transaction, i] for i in range(200)]
    assert max(len(body) for _, body in node.requests) > 45_000, "and none is needlessly small"
    assert {len(as_list(orjson.loads(body))) for _, body in node.requests} == {30, 20}


class _Unbounded(node_limits.NodeLimits):
    """Batches bounded by nothing, as they once were by count alone."""

    def take(self, sizes: Sequence[int], now: float) -> int:
        del now
        return len(sizes)


@pytest.mark.parametrize(("limits", "answered"), [(node_limits.NodeLimits, 500), (_Unbounded, 0)])
async def test_a_node_with_ordinary_limits_answers_every_call(
    node: Said, limits: type[node_limits.NodeLimits], answered: int
) -> None:
    """Five hundred sendings at once, 50 KiB a request; an engine whose batches have no bound gets no answer at all."""
    limiting(node, lambda _, text: (413, b"") if len(text) > 51_200 else None)
    async with aclosing(HttpClient(node.url, max_connections=8)) as http:
        rpc = JsonRpc(http, limits())
        calls = [asyncio.create_task(rpc.call("sendTransaction", ["x" * 600, i])) for i in range(500)]
        done, waiting = await asyncio.wait(calls, timeout=2)
        assert len([call for call in done if call.exception() is None]) == answered
        for call in waiting:
            call.cancel()


@pytest.mark.parametrize(
    "refuses",
    [
        lambda _, text: (413, b"") if len(text) > 3_000 else None,
        lambda calls, _: (413, b"<html>") if len(as_list(calls)) > 7 else None,
        lambda calls, _: (400, b"no arrays") if isinstance(calls, list) else None,
        lambda calls, _: (501, b"") if isinstance(calls, list) else None,
        lambda calls, _: (200, _WHOLE_BATCH_REFUSED) if isinstance(calls, list) else None,
    ],
    ids=["bytes", "calls", "arrays by 400", "arrays by 501", "arrays by one error"],
)
async def test_what_a_node_refuses_together_is_sent_in_smaller_requests(
    rpc: JsonRpc, node: Said, refuses: Callable[[Any, bytes], tuple[int, bytes] | None]
) -> None:
    """No call waits without end, and the limit is remembered: the next calls are sent in requests that fit."""
    limiting(node, refuses)
    assert await asyncio.gather(*(rpc.call("m", [i]) for i in range(100))) == [[i] for i in range(100)]
    learned = len(node.requests)
    node.requests.clear()
    assert await asyncio.gather(*(rpc.call("m", [i]) for i in range(100))) == [[i] for i in range(100)]
    assert len(node.requests) <= learned
    assert all(refuses(orjson.loads(body), body) is None for _, body in node.requests)


async def test_limits_are_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch, rpc: JsonRpc, node: Said) -> None:
    """Another node behind the same name may take more."""
    monkeypatch.setattr(node_limits, "REMEMBERED_FOR_S", 0.1)
    limiting(node, lambda calls, _: (413, b"") if isinstance(calls, list) else None)
    await asyncio.gather(*(rpc.call("m", [i]) for i in range(8)))
    node.status, node.body = 200, echo
    node.requests.clear()
    await asyncio.sleep(0.15)
    await asyncio.gather(*(rpc.call("m", [i]) for i in range(8)))
    assert len(node.requests) == 1


async def test_a_call_that_is_too_large_by_itself_is_undecided_and_leaves_its_neighbours_alone(
    rpc: JsonRpc, node: Said
) -> None:
    """It is no use to send it again at once."""
    limiting(node, lambda _, text: (413, b"") if len(text) > 10_000 else None)
    large, small = await asyncio.gather(rpc.call("m", ["x" * 20_000]), rpc.call("m", ["y"]), return_exceptions=True)
    assert small == ["y"]
    assert isinstance(large, Unreachable)
    assert "413" in str(large)


async def test_a_node_that_limits_the_rate_is_asked_less_often_and_not_before_it_says(rpc: JsonRpc, node: Said) -> None:
    """What comes meanwhile waits, and travels together."""
    node.status, node.headers = 429, {"retry-after": "1"}
    with pytest.raises(Unreachable, match="429"):
        await rpc.call("m", [])
    node.status, node.headers = 200, {}
    waiting = [asyncio.create_task(rpc.call("m", [i])) for i in range(5)]
    await asyncio.sleep(0.2)
    assert len(node.requests) == 1
    waiting += [asyncio.create_task(rpc.call("m", [i])) for i in range(5, 10)]
    assert await asyncio.gather(*waiting) == [[i] for i in range(10)]
    assert len(node.requests) == 2


async def test_answers_to_other_calls_are_nobodys_and_close_their_connection(rpc: JsonRpc, node: Said) -> None:
    """A stray answer has ids that were not asked for."""
    node.body = orjson.dumps({"jsonrpc": "2.0", "id": 999_999, "result": "of another"})
    with pytest.raises(Unreachable):
        await rpc.call("m", [])
    node.body = echo
    assert await rpc.call("m", ["mine"]) == ["mine"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_said_once_and_by_name(
    rpc: JsonRpc, node: Said, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten polls a second would bury it otherwise."""
    node.status = status
    for _ in range(5):
        with pytest.raises(Unreachable, match=str(status)):
            await rpc.call("m", [])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"the node answers {status}: check the key, user and password in DEX_URL"
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500, 502, 503, 504])
async def test_any_other_status_than_200_is_no_answer(rpc: JsonRpc, node: Said, status: int) -> None:
    """Whatever stands in the body."""
    node.status = status
    with pytest.raises(Unreachable, match=str(status)):
        await rpc.call("m", [])


NONSENSE = (
    *(b"", b"<html>", b"\xff", b"null", b"5", b'"text"', b"{}", b'{"id": 1}', b'{"id": 1, "error": 5}'),
    *(b'{"id": 1, "error": {}}', b"[]", b"[5]", b"[null]", b'[{"jsonrpc": "2.0"}]', b'[{"id": [1]}]'),
    b'[{"id": 1}, {"id": 2}]',
)


@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("calls", [1, 2])
async def test_an_answer_that_is_none_ends_every_call_of_the_request(
    rpc: JsonRpc, node: Said, body: bytes, calls: int
) -> None:
    """Nothing waits for ever: an order in flight would never be asked about again."""
    node.body = body
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(rpc.call("m", [i]) for i in range(calls)), return_exceptions=True)
    assert {type(answer) for answer in answers} <= {Unreachable, RpcRefusal}


async def test_a_node_that_is_not_there_is_unreachable() -> None:
    """And is asked anew by the next call."""
    async with aclosing(HttpClient(f"http://127.0.0.1:{free_port()}", max_connections=8)) as http:
        rpc = JsonRpc(http)
        for _ in range(2):
            with pytest.raises(Unreachable):
                await rpc.call("m", [])


async def test_a_call_that_nobody_waits_for_any_more_is_not_made(rpc: JsonRpc, node: Said) -> None:
    """Its caller was cancelled before the request left."""
    task = asyncio.create_task(rpc.call("m", []))
    await asyncio.sleep(0)
    task.cancel()
    assert await rpc.call("m", [2]) == [2]
    assert len(node.requests) == 1
