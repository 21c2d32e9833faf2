import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

# The benchmarks are a program of this repository, not an installed package.
sys.path.insert(0, str(Path(__file__).parents[3]))

ORDER_ID = "01980000-0000-7000-8000-{:012d}"


def accepted(number: int) -> bytes:
    """Return the api's answer to its order of that number."""
    body = b'{"orderId":"%s","status":"queued","userWallet":"w"}' % ORDER_ID.format(number).encode()
    head = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


class StubApi:
    """Takes whole requests on keep-alive connections and gives each the next of its answers.

    `answer` returns the pieces that go out one after another; an empty piece closes the connection.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.answer: Callable[[int], list[bytes]] = lambda number: [accepted(number)]
        self.most_at_once = 0
        self._now = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                self.requests.append(head + body)
                number = len(self.requests)
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                await asyncio.sleep(0)
                self._now -= 1
                if not await self._send(writer, self.answer(number)):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, pieces: list[bytes]) -> bool:
        for piece in pieces:
            if not piece:
                return False
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.01)
        return True


@pytest.fixture
async def stub_api() -> AsyncIterator[StubApi]:
    """Serve a stub of the api on a free port of 127.0.0.1."""
    stub = StubApi()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    yield stub
    server.close()


@pytest.fixture
def stub_api_answer() -> bytes:
    """Return what the stub answers."""
    return accepted(1)
