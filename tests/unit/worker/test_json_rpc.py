"""JSON-RPC over HTTP: what travels together, and that every call ends, whatever the node answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from devstack.ports import free_port
from engine_common.errors import Unreachable
from engine_worker.dex.http_client import HttpClient
from engine_worker.dex.json_rpc import JsonRpc, RpcRefusal
from support.web import Said, answering_server


def echo(asked: bytes) -> bytes:
    """Answer every call with its own parameters."""
    calls = orjson.loads(asked)
    answers = [{"jsonrpc": "2.0", "id": call["id"], "result": call["params"]} for call in as_list(calls)]
    return orjson.dumps(answers if isinstance(calls, list) else answers[0])


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


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 504])
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
