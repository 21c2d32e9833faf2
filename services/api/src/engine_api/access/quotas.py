"""Rate limits of a key, one for reads and one for writes, and what the answers say of them.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from limits import RateLimitItem, parse_many

from engine_api.access.keys import Caller
from engine_api.access.tally import Tally
from engine_api.problems import RATE_LIMITED, Refusal

OFF = "off"

_ID_DIGITS = 32
_MAX_AMOUNT = 1_000_000_000
_MAX_WINDOW_S = 366 * 86_400


class Use(StrEnum):
    """What is limited separately."""

    READS = "reads"
    WRITES = "writes"


def parse_limits(text: str) -> list[RateLimitItem]:
    """Return the limits that the notation describes, none for `off`; raise ValueError."""
    if text.strip().lower() == OFF:
        return []
    try:
        items = parse_many(text) if text.isascii() else []
    except ValueError:
        items = []
    if not items or not all(_is_sane(item) for item in items):
        raise ValueError(
            f"must be `off`, or limits such as 100/second or 100/second;3000/minute, each of 1 to {_MAX_AMOUNT} uses "
            f"in a window of at most {_MAX_WINDOW_S // 86_400} days"
        )
    return items


def _is_sane(item: RateLimitItem) -> bool:
    return 1 <= item.amount <= _MAX_AMOUNT and 1 <= item.get_expiry() <= _MAX_WINDOW_S


class Allowance(NamedTuple):
    """What a use of a quota leaves; `refusal`: it was one too many."""

    headers: Sequence[tuple[bytes, bytes]]
    refusal: Refusal | None


_UNLIMITED = Allowance((), None)


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many uses in each window of so many seconds; windows begin where the clock's time is a multiple of that."""

    name: str
    amount: int
    window_s: int
    item: RateLimitItem

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.amount};w={self.window_s}'

    def state(self, used: int, left_s: int) -> str:
        return f'"{self.name}";r={max(self.amount - used, 0)};t={left_s}'


class _Quota:
    """All limits of one kind of use."""

    def __init__(self, use: Use, items: Sequence[RateLimitItem]) -> None:
        self.use = use
        self.limits = [
            _Limit(
                use.value if len(items) == 1 else f"{use.value}-{item.get_expiry()}s",
                item.amount,
                item.get_expiry(),
                item,
            )
            for item in items
        ]
        self.policy = ", ".join(limit.policy for limit in self.limits)


class Quotas:
    """Spends the quotas of keys; without Redis, and without keys, everything is allowed."""

    def __init__(self, tally: Tally, reads: str, writes: str) -> None:
        self._tally = tally
        self._quotas = {
            use: _Quota(use, parse_limits(text)) for use, text in ((Use.READS, reads), (Use.WRITES, writes))
        }

    async def spend(self, caller: Caller, use: Use) -> Allowance:
        """Count one use by the caller."""
        quota = self._quotas[use]
        if caller.key is None or not quota.limits:
            return _UNLIMITED
        now = time.time()
        key = caller.key.hex()[:_ID_DIGITS]
        hits = [
            self._tally.hit(limit.item.key_for(key, use.value, int(now // limit.window_s)), limit.window_s)
            for limit in quota.limits
        ]
        used = [await hits[0]] if len(hits) == 1 else await asyncio.gather(*hits)
        return _allowance(quota, used, now)

    async def require(self, caller: Caller, use: Use) -> None:
        """Count one use by the caller. Raises Refusal."""
        allowance = await self.spend(caller, use)
        if allowance.refusal is not None:
            raise allowance.refusal


def _allowance(quota: _Quota, used: Sequence[int | None], now: float) -> Allowance:
    """Return what is left of the quota; its state is not known while Redis is away."""
    states: list[str] = []
    wait_s = 0
    for limit, count in zip(quota.limits, used, strict=True):
        if count is None:
            continue
        left_s = max(math.ceil(limit.window_s - now % limit.window_s), 1)
        states.append(limit.state(count, left_s))
        if count > limit.amount:
            wait_s = max(wait_s, left_s)
    headers = {"ratelimit-policy": quota.policy}
    if states:
        headers["ratelimit"] = ", ".join(states)
    refusal = None
    if wait_s:
        detail = f"too many {quota.use.value} with this API key: {quota.policy}"
        refusal = Refusal(RATE_LIMITED, detail, headers={**headers, "retry-after": str(wait_s)})
    return Allowance([(name.encode(), value.encode()) for name, value in headers.items()], refusal)
