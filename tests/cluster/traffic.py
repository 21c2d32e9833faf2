"""Clients that repeat nothing: orders at a steady rate through one URL, and reads of them; whatever fails, is kept."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp

from load.background import Background, steadily, stop
from load.claims import Claim
from load.plans import ROOMY_BPS, WALLET, Plan, Way, plans
from load.watching import Watch

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=10)
_CONNECTIONS = 300
# Of how many orders one is followed, and one is read, in each way. Placing is what the cluster is to be busy with.
_FOLLOWED_EVERY = 20
_SNAPSHOT_EVERY = 5
_HISTORY_EVERY = 25
_LIST_EVERY = 25
_READ_AFTER_S = 1.0
_HISTORY_AGAIN_S = 0.5

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """A request that did not get the answer that the contract promises."""

    at: datetime
    request: str
    reason: str
    status: int = 0
    """0: no answer at all"""

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.request}: {self.reason}"


class Slowest(NamedTuple):
    """The request whose answer took longest, and when that came."""

    took_s: float
    request: str
    at: datetime

    def __str__(self) -> str:
        return f"{self.took_s:.2f} s ({self.request}, {self.at:%H:%M:%S})"


class Unserved(Exception):
    """A request failed; it is among the failures."""


class Traffic:
    """The requests of one run; the Idempotency-Keys of its orders begin with its name and a hyphen."""

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str) -> None:
        self.name = name
        self.claims: list[Claim] = []
        self.failures: list[Failure] = []
        self.uncertain: set[str] = set()
        """keys of failed requests whose order may have been stored all the same"""
        self.requests = 0
        self.slowest = Slowest(0.0, "none", datetime.now(UTC))
        self.watch = Watch(session, [url], self.history)
        self._session = session
        self._url = url
        self._orders = Background()
        self._plans = (plan for plan in plans(name) if plan.way is Way.AT_ONCE)

    @asynccontextmanager
    async def flowing(self, rate: float) -> AsyncIterator[None]:
        """Place so many orders a second meanwhile, follow some and read some; return with the last answer."""
        placing = asyncio.create_task(self._place_steadily(rate))
        try:
            yield
        finally:
            await stop(placing)
            await self._orders.ended()

    async def place(self, count: int, rate: float) -> None:
        """Place so many orders that need no second attempt for their price; follow and read none."""
        sure = (plan for plan in self._plans if _has_room(plan))
        async for number in steadily(rate):
            if number == count:
                break
            self._orders.begin(self._place(next(sure)))
        await self._orders.ended()

    async def history(self, order_id: str) -> list[dict[str, Any]]:
        """Return an order's events as REST shows them; after a failure, which is kept, it asks again."""
        while True:
            try:
                return list((await self._ask("GET", f"/api/orders/{order_id}/events", 200))["data"])
            except Unserved:
                await asyncio.sleep(_HISTORY_AGAIN_S)

    async def _place_steadily(self, rate: float) -> None:
        async for number in steadily(rate):
            self._orders.begin(self._use(number, next(self._plans)))

    async def _place(self, plan: Plan) -> None:
        try:
            await self._post(plan)
        except Unserved:
            return

    async def _use(self, number: int, plan: Plan) -> None:
        """Be one client: place an order, follow it, read it a little later."""
        try:
            claim = await self._post(plan)
            if number % _FOLLOWED_EVERY == 0:
                self.watch.follow(claim.order_id)
            if plan.body["userWallet"] == WALLET:
                self.watch.wallet_orders.append(claim.order_id)
            await asyncio.sleep(_READ_AFTER_S)
            await self._read(number, claim.order_id, str(plan.body["userWallet"]))
        except Unserved:
            return

    async def _post(self, plan: Plan) -> Claim:
        headers = {"Idempotency-Key": plan.key}
        try:
            order = await self._ask("POST", "/api/orders/execute", 202, json=plan.body, headers=headers)
        except Unserved:
            self.uncertain.add(plan.key)
            raise
        claim = Claim(plan.key, str(order["orderId"]), time.time(), trace_id=str(order["traceId"]))
        self.claims.append(claim)
        return claim

    async def _read(self, number: int, order_id: str, wallet: str) -> None:
        if number % _SNAPSHOT_EVERY == 0:
            await self._ask("GET", f"/api/orders/{order_id}", 200)
        if number % _HISTORY_EVERY == 0:
            await self._ask("GET", f"/api/orders/{order_id}/events", 200)
        if number % _LIST_EVERY == 0:
            await self._ask("GET", f"/api/orders?wallet={wallet}&limit=20", 200)

    async def _ask(self, method: str, path: str, expected: int, **request: Any) -> Document:
        """Ask once. Raises Unserved."""
        self.requests += 1
        began = time.monotonic()
        status = 0
        try:
            async with self._session.request(method, self._url + path, timeout=_ANSWER_WITHIN, **request) as response:
                status = response.status
                document = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
            self._failed(began, f"{method} {path}", f"{status} without JSON: {reason}" if status else reason, status)
            raise Unserved from error
        self.slowest = max(self.slowest, Slowest(time.monotonic() - began, f"{method} {path}", datetime.now(UTC)))
        if status != expected or not isinstance(document, dict):
            self._failed(began, f"{method} {path}", f"{status} {_brief(document)}", status)
            raise Unserved
        return document

    def _failed(self, began: float, request: str, reason: str, status: int) -> None:
        took = f"after {time.monotonic() - began:.3f} s"
        self.failures.append(Failure(datetime.now(UTC), request, f"{reason} {took}", status))


def _has_room(plan: Plan) -> bool:
    """Tell whether the price may move a little between quote and swap."""
    return plan.body["slippageBps"] == ROOMY_BPS and "minAmountOut" not in plan.body


def _brief(document: object) -> object:
    """Return of a problem document what tells it from others."""
    return (
        {name: document.get(name) for name in ("code", "detail", "traceId")} if isinstance(document, dict) else document
    )


@asynccontextmanager
async def strict_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a session that repeats nothing: by itself aiohttp asks once more when a kept connection turns out closed."""
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        session._retry_connection = False
        yield session
