"""A good client: an Idempotency-Key for every order, repeats with it until an answer is certain, and its own list."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from load.claims import Claim
from load.plans import Plan, Way

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=5, connect=3)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_REPEATED = {429, 503}
_CONTENDED = (409, "contended")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the api said in the end."""

    status: int
    document: Mapping[str, Any]

    @property
    def code(self) -> str:
        """The code of a problem document."""
        return str(self.document.get("code", ""))


@dataclass
class Client:
    """Places orders at whichever api it happens to choose."""

    session: aiohttp.ClientSession
    urls: Sequence[str]
    claims: dict[str, Claim] = field(default_factory=dict)
    """by Idempotency-Key"""
    refusals: Counter[str] = field(default_factory=Counter)
    """requests that had to be repeated, by reason"""
    outcomes: Counter[str] = field(default_factory=Counter)
    """how second steps ended"""
    surprises: list[str] = field(default_factory=list)
    """answers that the contract does not have"""
    served_at: list[float] = field(default_factory=list)
    """when requests for new orders succeeded: seconds since 1970"""
    open: int = 0
    """orders whose plan is not carried out yet"""

    async def carry_out(self, plan: Plan, accepted: Callable[[Plan, Claim], None]) -> Claim | None:
        """Place the order of a plan, tell `accepted`, and take the second step; None when it was refused for good."""
        self.open += 1
        try:
            return await self._carry_out(plan, accepted)
        finally:
            self.open -= 1

    async def _carry_out(self, plan: Plan, accepted: Callable[[Plan, Claim], None]) -> Claim | None:
        claim = await self._place(plan)
        if claim is None:
            return None
        accepted(plan, claim)
        if plan.repeated:
            await self._place_again(plan, claim)
        if plan.way is not Way.AT_ONCE:
            await asyncio.sleep(plan.pause_s)
            await self.take_second_step(plan.way, claim)
        return claim

    async def _place(self, plan: Plan) -> Claim | None:
        answer = await self._post_order(plan)
        self.served_at.append(time.time())
        if answer is None:
            return None
        document = answer.document
        claim = Claim(plan.key, str(document["orderId"]), time.time(), trace_id=str(document["traceId"]))
        self.claims[plan.key] = claim
        return claim

    async def _place_again(self, plan: Plan, claim: Claim) -> None:
        answer = await self._post_order(plan)
        if answer is not None and answer.document["orderId"] != claim.order_id:
            self.surprises.append(f"key {plan.key} was order {claim.order_id}, and again {answer.document['orderId']}")

    async def _post_order(self, plan: Plan) -> Answer | None:
        path = "/api/orders" if plan.way in (Way.IN_TWO_STEPS, Way.CANCELLED_PENDING) else "/api/orders/execute"
        answer = await self.ask("POST", path, {201, 202}, json=plan.body, headers={"Idempotency-Key": plan.key})
        return answer if answer.status in (201, 202) else None

    async def take_second_step(self, way: Way, claim: Claim) -> None:
        """Execute or cancel an accepted order."""
        if way is Way.IN_TWO_STEPS:
            # 409: an earlier request of ours executed it, and it has ended meanwhile.
            answer = await self.ask("POST", f"/api/orders/{claim.order_id}/execute", {202, 409})
        else:
            answer = await self.ask("POST", f"/api/orders/{claim.order_id}/cancel", {200, 202, 409})
            claim.cancelled = answer.status == 200
            claim.cancel_kept = answer.status == 202
        step = "execute" if way is Way.IN_TWO_STEPS else "cancel"
        self.outcomes[f"{step} {answer.status} {answer.code}".rstrip()] += 1

    async def history(self, order_id: str) -> list[dict[str, Any]]:
        """Return an order's events as REST shows them."""
        answer = await self.ask("GET", f"/api/orders/{order_id}/events", {200})
        return list(answer.document["data"]) if answer.status == 200 else []

    async def ask(self, method: str, path: str, expected: Collection[int], **request: Any) -> Answer:
        """Repeat a request until its outcome is certain.

        An answer that the contract does not have is a surprise; one of the server's errors is repeated all the same.
        """
        for pause_s in _pauses():
            try:
                answer = await self._request(method, path, **request)
            except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
                self.refusals[f"no answer: {type(error).__name__}"] += 1
            else:
                if answer.status in expected and (answer.status, answer.code) != _CONTENDED:
                    return answer
                if answer.status not in _REPEATED and (answer.status, answer.code) != _CONTENDED:
                    self.surprises.append(f"{method} {path}: {answer.status} {dict(answer.document)}")
                    if answer.status < 500:
                        return answer
                self.refusals[f"{answer.status} {answer.code}"] += 1
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _request(self, method: str, path: str, **request: Any) -> Answer:
        url = random.choice(self.urls) + path
        async with self.session.request(method, url, timeout=_ANSWER_WITHIN, **request) as response:
            return Answer(response.status, await response.json(content_type=None))


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.5)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
