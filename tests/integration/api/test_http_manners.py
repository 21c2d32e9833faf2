"""What HTTP lets a well-behaved client do, byte by byte: each is answered sensibly, and the connection goes on."""

import asyncio
import json
from urllib.parse import quote, unquote

import pytest

from hostile.answers import Answer, read_answers
from integration.api.running_api import BODY, UNKNOWN, RunningApi

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


@pytest.mark.parametrize(("length", "status"), [(20_000, 422), (40_000, 431)])
async def test_a_long_query_is_read_up_to_the_bound_of_a_head(api: RunningApi, length: int, status: int) -> None:
    """Up to 32 KiB its parameters are looked at; beyond that it is refused as a head that is too large."""
    answers = await conversation(api.port, get("/api/orders?limit=1&x=" + "a" * length), LAST)
    assert answers[0].status == status
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_a_target_may_be_a_whole_address(api: RunningApi) -> None:
    """As clients of a proxy write it; whose address it is does not matter."""
    answers = await conversation(api.port, get("http://engine.example:80/livez?a=b"), LAST)
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize("target", ["http://engine.example", "engine.example:443", "/a b", "http://[::1/livez"])
async def test_a_target_without_a_path_is_refused(api: RunningApi, target: str) -> None:
    """As any request that makes no sense."""
    (answer,) = await conversation(api.port, get(target))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def creating(*headers: bytes, version: bytes = b"HTTP/1.1", host: bytes = b"host: x\r\n") -> bytes:
    lines = (b"content-type: application/json", b"content-length: %d" % len(ORDER), *headers)
    return b"POST /api/orders " + version + b"\r\n" + host + b"\r\n".join(lines) + b"\r\n\r\n" + ORDER


def code_of(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return json.loads(answer.body)["code"]


@pytest.mark.parametrize(
    "coding", [b"gzip", b"GZIP", b"br", b"identity, gzip", b"x-none", b"deflate\r\ncontent-encoding: identity"]
)
async def test_a_compressed_body_is_refused_and_not_read_as_if_it_were_plain(api: RunningApi, coding: bytes) -> None:
    """415 says in Accept-Encoding which encodings there are; the connection goes on."""
    answers = await conversation(api.port, creating(b"content-encoding: " + coding), LAST)
    assert (answers[0].status, answers[0].headers["accept-encoding"]) == (415, "identity")
    assert code_of(answers[0]) == "unsupported_content_encoding"
    assert answers[1].status == 200


@pytest.mark.parametrize("coding", [b"", b"identity", b" Identity "])
async def test_a_body_may_be_said_to_be_plain(api: RunningApi, coding: bytes) -> None:
    """Some clients say so, although they should not."""
    answers = await conversation(api.port, creating(b"content-encoding: " + coding), LAST)
    assert [answer.status for answer in answers] == [201, 200]


CHUNKED_ORDER = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)


def coded(*codings: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    lines = (b"host: x", b"content-type: application/json", *(b"transfer-encoding: " + coding for coding in codings))
    return b"POST /api/orders " + version + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + CHUNKED_ORDER


@pytest.mark.parametrize(
    "codings",
    [
        (b"gzip, chunked",),
        (b"gzip", b"chunked"),
        (b"xchunked",),
        (b"gzip",),
        (b"identity, chunked",),
        (b'"chunked"',),
        (b"chunked;q=1",),
    ],
)
async def test_a_transfer_coding_that_is_not_known_is_not_implemented(
    api: RunningApi, codings: tuple[bytes, ...]
) -> None:
    """501, and the connection ends: where the body ends is not known."""
    (answer,) = await conversation(api.port, coded(*codings), LAST)
    assert (answer.status, answer.headers["connection"]) == (501, "close")
    assert code_of(answer) == "not_implemented"


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"\tCHUNKED "])
async def test_a_chunked_body_is_read(api: RunningApi, coding: bytes) -> None:
    """In whichever case it is announced."""
    answers = await conversation(api.port, coded(coding), LAST)
    assert [answer.status for answer in answers] == [201, 200]


@pytest.mark.parametrize(
    "request_",
    [
        coded(b"chunked, identity"),
        coded(b"chunked, chunked"),
        coded(b"chunked", b"chunked"),
        coded(b"chunked", version=b"HTTP/1.0"),
        creating(b"transfer-encoding: chunked"),
    ],
)
async def test_a_body_with_two_ends_is_refused(api: RunningApi, request_: bytes) -> None:
    """Where readers disagree about the end of a body, what follows would be a request to one of them only."""
    answers = await conversation(api.port, request_, LAST)
    assert [answer.status for answer in answers] == [400]


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"host: x\r\nhost: x\r\n",
        b"host: x\r\nHost: y\r\n",
        b"host: x, y\r\n",
        b"host: x y\r\n",
        b"host: x/y\r\n",
        b"host: user@x\r\n",
        b"host: x:80:80\r\n",
        b"host: [::1\r\n",
        b"host: x:http\r\n",
        b"host: k\xe4se\r\n",
    ],
)
async def test_a_request_names_exactly_one_host(api: RunningApi, host: bytes) -> None:
    """None, two or a malformed one are refused: a proxy could take another one for the host than we do."""
    handshake = b"GET /ws?wallet=w HTTP/1.1\r\n" + host + HANDSHAKE
    for request in (creating(host=host), b"GET /livez HTTP/1.1\r\n" + host + b"\r\n", handshake):
        (answer,) = await conversation(api.port, request, LAST)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert code_of(answer) == "malformed_request"


@pytest.mark.parametrize(
    "host", [b"host: \r\n", b"host: x\r\n", b"host: x_1.y:80\r\n", b"host: 10.0.0.1:\r\n", b"HOST: [::1]:3000\r\n"]
)
async def test_every_well_formed_host_is_taken(api: RunningApi, host: bytes) -> None:
    """An empty one included, which is what a client sends whose target has no authority."""
    answers = await conversation(api.port, b"GET /livez HTTP/1.1\r\n" + host + b"\r\n", LAST)
    assert [answer.status for answer in answers] == [200, 200]


async def test_an_old_client_names_at_most_one_host(api: RunningApi) -> None:
    """HTTP/1.0 has no Host; two of them are refused all the same."""
    answers = await conversation(api.port, b"GET /livez HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n")
    assert [answer.status for answer in answers] == [400]


HANDSHAKE = (
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    "path", ["/ws", "/ws?wallet=w", f"/ws/orders/{UNKNOWN}", "/ws/orders/x", "/api/orders/execute"]
)
async def test_a_plain_get_of_a_sockets_address_is_told_to_upgrade(api: RunningApi, path: str) -> None:
    """426 with the protocol to upgrade to; the connection goes on."""
    answers = await conversation(api.port, get(path), LAST)
    assert [answer.status for answer in answers] == [426, 200]
    assert (answers[0].headers["upgrade"], answers[0].headers["connection"]) == ("websocket", "upgrade")
    assert code_of(answers[0]) == "upgrade_required"


async def test_another_method_at_a_sockets_address_is_not_allowed(api: RunningApi) -> None:
    """Allow names what plain HTTP has there, or else GET, which is what a handshake is."""
    answer = await api.ask("POST", "/ws")
    answer.problem(405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    answer = await api.ask("PUT", "/api/orders/execute")
    answer.problem(405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("wallet", [".", "..", "%2e", "%2E%2e", ".%2e"])
async def test_a_wallet_that_a_path_loses_on_its_way_is_no_wallet(api: RunningApi, wallet: str) -> None:
    """Browsers, libraries and proxies remove dot segments, in a body, a path, a query and a first message alike."""
    answers = await conversation(
        api.port,
        get(f"/api/orders/user/{wallet}"),
        *(get(f"/api/orders?{name}={wallet}") for name in ("wallet", "userWallet", "userId")),
        LAST,
    )
    assert [answer.status for answer in answers] == [422] * 4 + [200]
    name = unquote(wallet)
    for field in ("userWallet", "userId"):
        (await api.post("/api/orders", BODY | {field: name})).problem(422, "invalid_order")
    async with api.listening(f"/ws?wallet={wallet}") as ear:
        assert await ear.closed() == 4422
    async with api.listening("/api/orders/execute") as ear:
        await ear.connection.send(json.dumps(BODY | {"userWallet": name}))
        (problem,) = await ear.hear_all()
    assert (problem["code"], ear.code) == ("invalid_order", 4422)


@pytest.mark.parametrize("name", ["...", ".a", "a.", "..a", "a..", "./..", "a/../b"])
async def test_dots_are_characters_of_wallets_like_others(api: RunningApi, name: str) -> None:
    """In a path their slashes are encoded."""
    order_id = await api.place(userWallet=name)
    answers = await conversation(api.port, get(f"/api/orders/user/{quote(name, safe='')}?limit=1"), LAST)
    assert [order["orderId"] for order in json.loads(answers[0].body)["data"]] == [str(order_id)]


@pytest.mark.parametrize(
    "path",
    [
        "/api%2Forders",
        "/api/orders%2fuser/w",
        "/api/orders%2Fuser/w/x",
        "/api/orders/user/w/x",
        "/api/orders/user/w/../x",
        "/api/orders/user//w",
        "/api/orders/user/w/",
        "/api/orders/./user/w",
        "/api/../api/orders",
        "//api/orders",
        "/api/orders%0A",
        "/livez%0a",
        "/livez/.",
        "/ws%2forders/x",
        "/ws/orders/x/y",
        f"/api/orders/{UNKNOWN}%2Fevents",
    ],
)
async def test_a_path_is_what_its_segments_are(api: RunningApi, path: str) -> None:
    """Nothing is removed from it, and an encoded slash separates nothing: a proxy in between sees the same path."""
    (answer, _) = await conversation(api.port, get(path), LAST)
    assert (answer.status, code_of(answer)) == (404, "not_found")


async def test_a_line_end_in_a_path_belongs_to_its_segment(api: RunningApi) -> None:
    """`$` of a regular expression also matches before it."""
    (answer, _) = await conversation(api.port, get("/api/orders/user/w%0A"), LAST)
    assert answer.status == 422
    order_id = await api.place()
    (answer, _) = await conversation(api.port, get(f"/api/orders/{order_id}%0A"), LAST)
    assert answer.status == 404
