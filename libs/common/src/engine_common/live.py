"""Live events over Redis pub/sub: bounded, fire-and-forget. PostgreSQL has them all; a lost one costs latency only."""

import asyncio
import logging
from collections import deque
from uuid import UUID

import redis.asyncio as redis
from redis.exceptions import RedisError

from engine_common.orders import Event, event_json

log = logging.getLogger(__name__)

_BUFFER = 20_000
_BATCH = 500
_PAUSE_AFTER_FAILURE_S = 0.5
FAREWELL_WITHIN_S = 2.0

# What a connection to Redis in trouble raises; RuntimeError is uvloop's word for one that closed in that moment.
TROUBLE = (RedisError, OSError, RuntimeError)

# One command for a batch of (order's channel, wallet's channel, message): a PUBLISH each costs the sender far more CPU.
_PUBLISH = """
for i = 1, #ARGV, 3 do
    redis.call('PUBLISH', ARGV[i], ARGV[i + 2])
    redis.call('PUBLISH', ARGV[i + 1], ARGV[i + 2])
end
"""


def order_channel(order_id: UUID) -> str:
    """Return the channel that carries the order's events."""
    return f"order:{order_id}"


def wallet_channel(account: str, wallet: str) -> str:
    """Return the channel that carries the events of all orders of the account's wallet."""
    return f"wallet:{account}:{wallet}"


def connect(redis_url: str) -> "redis.Redis":
    """Return an asynchronous client whose commands fail within seconds while Redis is away."""
    return redis.Redis.from_url(redis_url, socket_connect_timeout=1.0, socket_timeout=2.0, socket_keepalive=True)


class Publisher:
    """Publishes events after their commit; never delays or fails an order, and drops what does not fit its buffer."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._script = client.register_script(_PUBLISH)
        self._buffer: deque[tuple[str, str, bytes]] = deque(maxlen=_BUFFER)
        self._sender: asyncio.Task[None] | None = None

    def publish(self, event: Event, account: str, wallet: str) -> None:
        """Take the event of the wallet's order; it is sent soon, with others."""
        self._buffer.append((order_channel(event.order_id), wallet_channel(account, wallet), event_json(event)))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Send what is left, unless Redis is away, and close the connection."""
        if self._sender is not None:
            await asyncio.wait((self._sender,), timeout=FAREWELL_WITHIN_S)
        await self._client.aclose()

    async def _send(self) -> None:
        try:
            while self._buffer:
                try:
                    await self._send_batch()
                except TROUBLE as error:
                    log.warning("live events are not published, sockets read PostgreSQL meanwhile: %s", error)
                    self._buffer.clear()
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                except Exception:
                    log.exception("a batch of live events was not published, sockets read PostgreSQL meanwhile")
        finally:
            self._sender = None

    async def _send_batch(self) -> None:
        arguments: list[str | bytes] = []
        for _ in range(min(_BATCH, len(self._buffer))):
            arguments += self._buffer.popleft()
        await self._script(args=arguments)
