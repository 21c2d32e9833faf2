"""WebSocket clients that follow orders through everything, and note whatever they see twice, too late or not at all."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from engine_common.transitions import TERMINAL
from load.plans import WALLET

_CONNECTED_WITHIN_S = 10.0  # as long as a request through a busy ingress may take
_HEARTBEAT_S = 4.0  # a peer that answers no ping for half of this is taken for dead
_PAUSE_S = (0.05, 0.4)
_FINISHED, _GOING_AWAY, _INTERNAL_ERROR, _UNKNOWN_ORDER = 1000, 1001, 1011, 4004
_TERMINAL = {status.value for status in TERMINAL}

Event = dict[str, Any]


@dataclass
class Following:
    """What one follower saw of its order, and what was wrong with it."""

    order_id: str
    seen: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    connections: int = 0
    refused_handshakes: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the terminal event has come."""
        return bool(self.seen) and self.seen[-1]["status"] in _TERMINAL

    def take(self, event: Event) -> None:
        """Take an event; each must be the one that comes next."""
        expected = self.seen[-1]["seq"] + 1 if self.seen else 1
        if self.ended:
            self.faults.append(f"seq {event['seq']} came after the terminal event")
        if event["orderId"] != self.order_id:
            self.faults.append(f"an event of order {event['orderId']} came")
        if event["seq"] != expected:
            self.faults.append(f"seq {event['seq']} came where {expected} was due")
        self.seen.append(event)

    def closed(self, code: int | None) -> None:
        """Take the end of a connection."""
        if code == _FINISHED and not self.ended:
            self.faults.append(f"closed {code} before the terminal event")
        if code in (_INTERNAL_ERROR, _UNKNOWN_ORDER):
            self.faults.append(f"closed {code}")

    def compare(self, history: Sequence[Event]) -> None:
        """Compare with the history that REST shows: the same objects in the same order."""
        if self.seen != list(history):
            self.faults.append(f"saw {[each['seq'] for each in self.seen]}, REST shows {len(history)} events or others")


@dataclass
class WalletFollowing:
    """What the follower of a wallet saw: each order's events in order, on every socket from its latest one on."""

    latest: dict[str, Event] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    connections: int = 0
    refused_handshakes: list[str] = field(default_factory=list)
    last_at: str | None = None
    _this_socket: dict[str, int] = field(default_factory=dict)

    def connected(self) -> None:
        """Begin a new socket."""
        self.connections += 1
        self._this_socket = {}

    def take(self, event: Event) -> None:
        """Take an event: its order's next one, or the first on this socket, which may repeat the last."""
        order_id, seq = event["orderId"], event["seq"]
        before = self._this_socket.get(order_id)
        if before is not None and seq != before + 1:
            self.faults.append(f"wallet: order {order_id}: seq {seq} came after {before}")
        known = self.latest.get(order_id)
        if known is not None and seq < known["seq"]:
            self.faults.append(f"wallet: order {order_id}: seq {seq} came, {known['seq']} had come before")
        self._this_socket[order_id] = seq
        self.latest[order_id] = event
        self.last_at = max(self.last_at or "", event["timestamp"])

    def unfinished(self, order_ids: Sequence[str]) -> list[str]:
        """Return those of the orders whose terminal event has not come."""
        return [each for each in order_ids if self.latest.get(each, {}).get("status") not in _TERMINAL]


async def follow(session: aiohttp.ClientSession, urls: Sequence[str], following: Following) -> None:
    """Follow an order to its terminal event, reconnecting with `after` however often it takes."""
    while not following.ended:
        after = following.seen[-1]["seq"] if following.seen else 0
        url = f"{_socket_url(random.choice(urls))}/ws/orders/{following.order_id}?after={after}"
        following.connections += 1
        following.closed(await _listen(session, url, following))
        if not following.ended:
            await asyncio.sleep(random.uniform(*_PAUSE_S))


async def follow_wallet(session: aiohttp.ClientSession, urls: Sequence[str], following: WalletFollowing) -> None:
    """Follow a wallet until cancelled, resuming where the last socket ended."""
    while True:
        query = {"wallet": WALLET} | ({"since": following.last_at} if following.last_at else {})
        url = f"{_socket_url(random.choice(urls))}/ws?{'&'.join(f'{name}={value}' for name, value in query.items())}"
        following.connected()
        code = await _listen(session, url, following)
        if code in (_FINISHED, _INTERNAL_ERROR, _UNKNOWN_ORDER):
            following.faults.append(f"wallet: closed {code}")
        await asyncio.sleep(random.uniform(*_PAUSE_S))


async def _listen(session: aiohttp.ClientSession, url: str, following: Following | WalletFollowing) -> int | None:
    """Take what a socket brings until it ends; return its close code, None where it had none."""
    try:
        async with asyncio.timeout(_CONNECTED_WITHIN_S):
            socket = await session.ws_connect(url, heartbeat=_HEARTBEAT_S)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        following.refused_handshakes.append(f"{datetime.now(UTC):%H:%M:%S.%f} {type(error).__name__}: {error}")
        return None
    try:
        async with socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    following.take(orjson.loads(message.data))
            return socket.close_code
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def _socket_url(url: str) -> str:
    return f"ws{url.removeprefix('http')}"
