"""An HTTP server that says what a test tells it to, for answers that no well-behaved service gives."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Said:
    """What it answers, and what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes | Callable[[bytes], bytes] = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.read()
        self.requests.append((str(request.rel_url), asked))
        body = self.body if isinstance(self.body, bytes) else self.body(asked)
        return web.Response(status=self.status, body=body, headers=self.headers)


@asynccontextmanager
async def answering_server() -> AsyncIterator[Said]:
    """Run the server for a while."""
    said = Said()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", said.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        said.url = f"http://{host}:{port}"
        yield said
    finally:
        await runner.cleanup()
