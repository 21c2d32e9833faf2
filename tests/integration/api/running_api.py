"""An api that serves over real HTTP and WebSockets inside the test's event loop, and the ways a test speaks with it."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

from engine_api.__main__ import listen, make_server
from engine_api.settings import ApiSettings

BODY = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
WITHIN_S = 30.0

# An id that no order has.
UNKNOWN = "0198d2a0-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """Return the problem document, once it is sure that it is one, and of this kind."""
        assert (self.status, self.json.get("code")) == (status, code), self.text
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json
        assert document["status"] == status
        assert document["type"] == f"https://example.invalid/problems/{code.replace('_', '-')}"
        assert document["title"]
        assert document["detail"]
        assert len(document["traceId"]) == 32
        assert document["requestId"] == self.headers["x-request-id"]
        assert document["retryable"] in (True, False)
        return document

    def fields(self) -> set[str]:
        return {error["field"] for error in self.json["errors"]}


class Ear:
    """A WebSocket of a client: what it heard, and how it was closed."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    async def hear(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many more messages and return them."""
        heard = []
        for _ in range(count):
            async with asyncio.timeout(WITHIN_S):
                heard.append(json.loads(await self.connection.recv()))
        self.events += heard
        return heard

    async def hear_all(self) -> list[dict[str, Any]]:
        """Listen until the socket is closed, and return everything heard so far."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.hear(1)
        return self.events

    async def silence(self, seconds: float = 0.3) -> None:
        """Make sure that nothing more comes for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                raise AssertionError(f"not silent: {await self.connection.recv()!r}")

    async def closed(self) -> int:
        """Wait for the close and return its code; nothing may come before it."""
        assert await self.hear_more() == []
        return self.code

    async def hear_more(self) -> list[dict[str, Any]]:
        before = len(self.events)
        await self.hear_all()
        return self.events[before:]

    @property
    def code(self) -> int:
        assert self.connection.protocol.close_rcvd is not None
        return self.connection.protocol.close_rcvd.code

    @property
    def reason(self) -> str:
        assert self.connection.protocol.close_rcvd is not None
        return self.connection.protocol.close_rcvd.reason

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]

    @property
    def states(self) -> list[str]:
        return [event["status"] for event in self.events]


class RunningApi:
    """A serving api."""

    def __init__(self, port: int, session: aiohttp.ClientSession, key: str | None = None) -> None:
        self.address = f"127.0.0.1:{port}"
        self.port = port
        self._session = session
        self._key = {} if key is None else {"x-api-key": key}

    def holding(self, key: str) -> "RunningApi":
        """Speak with the same api as somebody who has this API key."""
        return RunningApi(self.port, self._session, key)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        headers = self._key | options.pop("headers", {})
        async with self._session.request(method, self.url + path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, key: str | None = None, **options: Any) -> Answer:
        """Post the body, as JSON unless it is bytes already."""
        headers = {"content-type": "application/json"} | options.pop("headers", {})
        if key is not None:
            headers["idempotency-key"] = key
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, data=data, headers=headers, **options)

    async def place(self, path: str = "/api/orders/execute", **fields: Any) -> UUID:
        """Create an order, 1.5 SOL into USDC unless said otherwise, and return its id."""
        answer = await self.post(path, BODY | fields)
        assert answer.status in (201, 202), answer.text
        return UUID(answer.json["orderId"])

    @asynccontextmanager
    async def listening(self, path: str, **options: Any) -> AsyncIterator[Ear]:
        headers = self._key | options.pop("additional_headers", {})
        async with websockets.connect(
            f"ws://{self.address}{path}", open_timeout=WITHIN_S, additional_headers=headers, **options
        ) as connection:
            yield Ear(connection)


@contextmanager
def served_in_thread(database_url: str, redis_url: str) -> Iterator[int]:
    """Serve in an event loop of another thread, for tests that need nothing special, and yield the port."""
    listener = listen("127.0.0.1", 0)
    server = make_server(ApiSettings(database_url=database_url, redis_url=redis_url))
    server.capture_signals = contextlib.nullcontext
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
    port = listener.getsockname()[1]
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


@asynccontextmanager
async def running_api(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[RunningApi]:
    """Serve on a free port, and end as the process would on SIGTERM."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_server(ApiSettings(database_url=database_url, redis_url=redis_url, **settings))
    server.capture_signals = contextlib.nullcontext  # they belong to pytest
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        if serving.done():
            serving.result()
    try:
        async with aiohttp.ClientSession() as session:
            yield RunningApi(port, session)
    finally:
        server.should_exit = True
        await serving
