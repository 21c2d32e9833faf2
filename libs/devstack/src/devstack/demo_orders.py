"""The demo's orders: what is asked for, and a client that places them and follows each over its WebSocket."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from devstack.faults import OrderRefused
from engine_common.transitions import TERMINAL

_RECONNECT_AFTER_S = 0.3
_ANSWER_WITHIN = aiohttp.ClientTimeout(total=15)


@dataclass
class FollowedOrder:
    """An order of the demo and the last that was heard of it."""

    wallet: str
    token_in: str
    token_out: str
    amount_in: str
    min_amount_out: str | None = None
    order_id: str = ""
    status: str = "new"
    attempt: int = 1
    seq: int = 0
    venue: str = ""
    amount_out: str = ""
    error: str = ""
    placed_at: float = 0.0
    finished_at: float | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def body(self) -> dict[str, str]:
        """What is posted."""
        body = {
            "tokenIn": self.token_in,
            "tokenOut": self.token_out,
            "amountIn": self.amount_in,
            "userWallet": self.wallet,
        }
        return body | ({"minAmountOut": self.min_amount_out} if self.min_amount_out else {})

    @property
    def short_id(self) -> str:
        """The end of its id: enough to tell ten orders apart."""
        return self.order_id[-8:]

    @property
    def finished(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.status in TERMINAL

    @property
    def seconds(self) -> float:
        """How long it has taken so far, or in all."""
        return (self.finished_at or time.monotonic()) - self.placed_at if self.placed_at else 0.0

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take over what an event brings."""
        self.seq, self.status, self.attempt = event["seq"], event["status"], event["attempt"]
        self.seen.append(self.status)
        data: Mapping[str, Any] = event.get("data") or {}
        self.venue = data.get("venue") or self.venue
        self.amount_out = data.get("amountOut") or self.amount_out
        self.error = "" if self.status == "confirmed" else data.get("errorReason") or self.error
        if self.finished:
            self.finished_at = time.monotonic()


def demo_orders() -> list[FollowedOrder]:
    """Return the orders of the demo: pairs, sizes and wallets of all kinds, and one that cannot be filled."""
    return [
        FollowedOrder("alice", "SOL", "USDC", "1.5"),
        FollowedOrder("alice", "USDC", "SOL", "500"),
        FollowedOrder("bob", "SOL", "BONK", "12"),
        FollowedOrder("bob", "JUP", "USDC", "2500"),
        FollowedOrder("carol", "WIF", "USDT", "1200"),
        FollowedOrder("carol", "RAY", "SOL", "75.25"),
        FollowedOrder("dave", "PYTH", "USDC", "9000"),
        FollowedOrder("dave", "mSOL", "SOL", "10.000000001"),
        FollowedOrder("erin", "SOL", "USDC", "5000"),
        FollowedOrder("erin", "SOL", "USDC", "1", min_amount_out="1000000"),
    ]


class Client:
    """A client of the public interface, as anybody could write it."""

    def __init__(self, session: aiohttp.ClientSession, api_url: str) -> None:
        self._session = session
        self._api_url = api_url

    async def place(self, order: FollowedOrder) -> None:
        """Create and execute an order.

        Raises OrderRefused.
        """
        order.placed_at = time.monotonic()
        url = f"{self._api_url}/api/orders/execute"
        try:
            async with self._session.post(url, json=order.body, timeout=_ANSWER_WITHIN) as response:
                answer: Mapping[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OrderRefused(f"The api did not answer an order: {error or type(error).__name__}.") from error
        if "orderId" not in answer or response.status >= 400:  # noqa: PLR2004 - HTTP's own line between yes and no
            raise OrderRefused(f"The api refused an order with {response.status}: {answer.get('detail', answer)}")
        order.order_id, order.status = answer["orderId"], answer["status"]

    async def follow(self, order: FollowedOrder, heard: Callable[[FollowedOrder], None]) -> None:
        """Hear every event of an order, from the first to the terminal one, over broken connections too."""
        while not order.finished:
            url = f"{self._api_url}/ws/orders/{order.order_id}?after={order.seq}"
            try:
                async with self._session.ws_connect(url) as socket:
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            order.hear(message.json())
                            heard(order)
            except aiohttp.ClientError:
                pass
            if not order.finished:
                await asyncio.sleep(_RECONNECT_AFTER_S)

    async def read(self, order_id: str) -> Mapping[str, Any]:
        """Return the snapshot of an order."""
        url = f"{self._api_url}/api/orders/{order_id}"
        async with self._session.get(url, timeout=_ANSWER_WITHIN) as response:
            return await response.json()
