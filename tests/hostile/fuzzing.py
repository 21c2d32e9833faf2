"""Thousands of hostile connections from one seed, judged one by one, while a normal client is served."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

import aiohttp

from hostile import contents, raw_http, web_sockets
from hostile.bystander import Bystander
from hostile.case import BODY, Case, Family, Target
from hostile.operations import operations_of
from hostile.oracle import Oracle
from hostile.victim import Lines, Victim
from hostile.wire import perform

FAMILIES: tuple[Family, ...] = (*raw_http.FAMILIES, *contents.FAMILIES, *web_sockets.FAMILIES)
WARM_UP = 1000

_AT_ONCE = 48
_SETTLE_S = 3.0
_MOST_KEPT = 30


@dataclass
class Findings:
    """What a run has found."""

    seed: int
    performed: int = 0
    seconds: float = 0.0
    families: Counter[str] = field(default_factory=Counter[str])
    said: Counter[str] = field(default_factory=Counter[str])
    violations: list[str] = field(default_factory=list[str])
    lines: Lines = Lines(0, 0, ())
    memory_before_mb: float = 0.0
    memory_after_mb: float = 0.0

    @property
    def growth_mb(self) -> float:
        """How much more memory the api had at the end than after the warm-up."""
        return self.memory_after_mb - self.memory_before_mb


def make_case(seed: int, number: int, target: Target) -> Case:
    """Return the case of this number: the same for the same seed, whatever ran before."""
    rng = Random(f"{seed}:{number}")
    return rng.choice(FAMILIES)(rng, target)


async def fuzz(
    victim: Victim,
    bystander: Bystander,
    *,
    seed: int,
    requests: int,
    headers: Mapping[str, str],
    only: int | None = None,
) -> Findings:
    """Perform the cases, the first thousand as a warm-up, and return what was found."""
    findings = Findings(seed)
    target, oracle = await _prepare(victim.url, headers)
    pid = victim.pid()
    victim.new_lines()
    begun = time.monotonic()
    async with bystander.living():
        numbers = range(requests) if only is None else range(only, only + 1)
        warm_up = min(WARM_UP, len(numbers) // 2)
        await _perform_all(numbers[:warm_up], findings, target, oracle)
        findings.memory_before_mb = await _settled_memory(victim)
        await _perform_all(numbers[warm_up:], findings, target, oracle)
        findings.seconds = time.monotonic() - begun
        findings.memory_after_mb = await _settled_memory(victim)
    findings.lines = victim.new_lines()
    findings.violations += [f"log: {line}" for line in findings.lines.bad[:_MOST_KEPT]]
    findings.violations += [f"bystander: {one}" for one in bystander.complaints[:_MOST_KEPT]]
    if victim.pid() != pid:
        findings.violations.append("the api died and was started again")
    return findings


async def _prepare(url: str, headers: Mapping[str, str]) -> tuple[Target, Oracle]:
    async with aiohttp.ClientSession(url, headers=headers) as session:
        async with session.get("/openapi.json") as answer:
            document = await answer.json(content_type=None)
        order_ids: list[str] = []
        for path in ("/api/orders", "/api/orders/execute"):
            async with session.post(path, json=BODY) as answer:
                order_ids.append((await answer.json(content_type=None))["orderId"])
    address = urlsplit(url)
    unknown = "0198d2a0-0000-7000-8000-000000000000"
    target = Target(
        address.hostname or "", address.port or 80, operations_of(document), (*order_ids, unknown), dict(headers)
    )
    return target, Oracle(document)


async def _perform_all(numbers: range, findings: Findings, target: Target, oracle: Oracle) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await _perform(number, findings, target, oracle)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(work())


async def _perform(number: int, findings: Findings, target: Target, oracle: Oracle) -> None:
    case = make_case(findings.seed, number, target)
    findings.performed += 1
    findings.families[case.family] += 1
    try:
        said, wrong = oracle.judge(case, await perform(case, target))
    except (OSError, TimeoutError) as error:
        said, wrong = ["no connection"], [f"{type(error).__name__}: {error}"]
    findings.said.update(said)
    findings.violations += [f"case {number} ({case.family}): {fault}" for fault in wrong]


async def _settled_memory(victim: Victim) -> float:
    gc.collect()
    await asyncio.sleep(_SETTLE_S)
    return victim.memory_mb()
