"""What HTTP lets a well-behaved client do, byte by byte: each is answered sensibly, and the connection goes on."""

import asyncio
import json
from urllib.parse import quote

import pytest

from hostile.answers import Answer, read_answers
from integration.api.running_api import BODY, RunningApi

LAST = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
ORDER = json.dumps(BODY).encode()


async def conversation(port: int, *said: bytes, bodiless: bool = False) -> tuple[Answer, ...]:
    """Say it all at once and return the answers, once the server has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(said))
    async with asyncio.timeout(30):
        heard = read_answers(await reader.read(), bodiless=bodiless)
    writer.close()
    assert heard.rest == b""
    return heard.answers


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


async def test_a_connection_is_kept_for_the_next_request(api: RunningApi) -> None:
    """Pipelined requests are answered in their order, until one of them asks for the end."""
    answers = await conversation(api.port, get("/livez"), get("/nothing"), get("/api/orders?limit=1"), LAST)
    assert [answer.status for answer in answers] == [200, 404, 200, 200]
    assert ["connection" in answer.headers for answer in answers] == [False, False, False, True]


async def test_an_old_client_gets_one_answer_a_connection(api: RunningApi) -> None:
    """HTTP/1.0 knows no other way."""
    (answer,) = await conversation(api.port, b"GET /livez HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("path", ["/livez", "/api/orders?limit=1", "/openapi.json", "/nothing", "/api/orders/1"])
async def test_head_is_get_without_the_body(api: RunningApi, path: str) -> None:
    """The same status and headers, the length of the body that is left out included."""
    (read, _) = await conversation(api.port, get(path), LAST)
    head = get(path).replace(b"GET", b"HEAD").replace(b"host", b"connection: close\r\nhost")
    (answer,) = await conversation(api.port, head, bodiless=True)
    changing = {"connection", "date", "x-request-id", "ratelimit"}
    assert answer.status == read.status
    assert answer.headers.keys() - changing == read.headers.keys() - changing
    if answer.status == 200:
        assert answer.headers["content-length"] == str(len(read.body))


async def test_options_says_which_methods_there_are(api: RunningApi) -> None:
    """Without CORS it is a method like any other that is not allowed."""
    answer = await api.ask("OPTIONS", "/api/orders")
    answer.problem(405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_a_client_that_asks_first_is_told_to_go_on(api: RunningApi) -> None:
    """100 before the body of an order, and no 100 where the head is refused already."""
    head = (
        "POST /api/orders HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head.format("application/json", len(ORDER)).encode())
    async with asyncio.timeout(30):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(ORDER)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head.format("text/plain", len(ORDER)).encode())
    async with asyncio.timeout(30):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 415 ")
    writer.close()


async def test_paths_may_be_percent_encoded(api: RunningApi, wallet: str) -> None:
    """A wallet's name may hold every printable character, a slash and a percent sign included."""
    name = f"{wallet[:40]}/ %2F?#"
    order_id = await api.place(userWallet=name)
    answers = await conversation(
        api.port, get(f"/api/orders/user/{quote(name, safe='')}"), get("/%6civez"), get("/livez%3Fa=b"), LAST
    )
    assert [answer.status for answer in answers] == [200, 200, 404, 200]
    assert [order["orderId"] for order in json.loads(answers[0].body)["data"]] == [str(order_id)]


@pytest.mark.parametrize(("length", "status"), [(20_000, 200), (40_000, 431)])
async def test_a_long_query_is_read_up_to_the_bound_of_a_head(api: RunningApi, length: int, status: int) -> None:
    """Beyond 32 KiB it is refused as a head that is too large."""
    answers = await conversation(api.port, get("/api/orders?limit=1&x=" + "a" * length), LAST)
    assert answers[0].status == status
    assert answers[0].headers["content-type"] == ("application/json" if status == 200 else "application/problem+json")


async def test_a_target_may_be_a_whole_address(api: RunningApi) -> None:
    """As clients of a proxy write it; whose address it is does not matter."""
    answers = await conversation(api.port, get("http://engine.example:80/livez?a=b"), LAST)
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize("target", ["http://engine.example", "engine.example:443", "/a b", "http://[::1/livez"])
async def test_a_target_without_a_path_is_refused(api: RunningApi, target: str) -> None:
    """As any request that makes no sense."""
    (answer,) = await conversation(api.port, get(target))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
