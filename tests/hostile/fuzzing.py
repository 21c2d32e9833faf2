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
from hostile.bystander import Experience, living
from hostile.case import BODY, Case, Family, Target
from hostile.latencies import summary
from hostile.operations import operations_of
from hostile.oracle import Oracle
from hostile.victim import Lines, Victim
from hostile.wire import perform

FAMILIES: tuple[Family, ...] = (*raw_http.FAMILIES, *contents.FAMILIES, *web_sockets.FAMILIES)
WARM_UP = 1000

_AT_ONCE = 48
_SETTLE_S = 3.0
_MOST_KEPT = 30
_MOST_WARNINGS = 20
_MEMORY_MAY_GROW_MB = 15.0
_PEAK_MAY_GROW_MB = 60.0
_P99_WITHIN_MS = 250.0


@dataclass
class Findings:
    """What a run has found."""

    seed: int
    performed: int = 0
    seconds: float = 0.0
    families: Counter[str] = field(default_factory=Counter[str])
    said: Counter[str] = field(default_factory=Counter[str])
    violations: list[str] = field(default_factory=list[str])
    lines: Lines = field(default_factory=Lines)
    memory_before_mb: float = 0.0
    memory_after_mb: float = 0.0
    peak_before_mb: float = 0.0
    peak_after_mb: float = 0.0
    bystander: Experience = field(default_factory=Experience)

    @property
    def faults(self) -> list[str]:
        """What must not be: violations, and memory that grew, for good or for a moment."""
        faults = list(self.violations)
        grown = self.memory_after_mb - self.memory_before_mb
        if grown > _MEMORY_MAY_GROW_MB:
            faults.append(f"memory grew by {grown:.1f} MB, more than {_MEMORY_MAY_GROW_MB:g}")
        return [*faults, *self.spikes]

    @property
    def spikes(self) -> list[str]:
        """What took the memory for a moment; it cannot hide in what is given back before the end."""
        risen = self.peak_after_mb - self.peak_before_mb
        if risen > _PEAK_MAY_GROW_MB:
            return [f"the peak of memory rose by {risen:.1f} MB, more than {_PEAK_MAY_GROW_MB:g}"]
        return []

    @property
    def slow(self) -> list[str]:
        """What took the normal client too long; says nothing on a machine that is busy with something else."""
        times = {"POST": summary(self.bystander.posts), "GET": summary(self.bystander.gets)}
        return [
            f"the normal client's {name} had a p99 of more than {_P99_WITHIN_MS:g} ms"
            for name, latency in times.items()
            if latency.p99 > _P99_WITHIN_MS
        ]

    def report(self) -> list[str]:
        """Return the run in lines for people."""
        served = self.bystander
        return [
            f"{self.performed} connections in {self.seconds:.1f} s ({self.performed / self.seconds:.0f}/s)",
            *(_counted(name, counts) for name, counts in (("family", self.families), ("answer", self.said))),
            f"api memory: {self.memory_before_mb:.1f} MB warmed up, {self.memory_after_mb:.1f} MB at the end",
            f"api memory at its peak: {self.peak_before_mb:.1f} MB before, {self.peak_after_mb:.1f} MB at the end",
            f"log: {self.lines.count} lines, {self.lines.warnings} warnings, {len(self.lines.bad)} bad",
            f"normal client: {served.finished} orders followed to their end, {len(served.complaints)} complaints",
            f"  POST {summary(served.posts)}",
            f"  GET  {summary(served.gets)}",
        ]


def _counted(name: str, counts: Counter[str]) -> str:
    return f"by {name}: " + ", ".join(f"{key} {count}" for key, count in counts.most_common())


def make_case(seed: int, number: int, target: Target) -> Case:
    """Return the case of this number: the same for the same seed, whatever ran before."""
    rng = Random(f"{seed}:{number}")
    return rng.choice(FAMILIES)(rng, target)


async def fuzz(
    victim: Victim,
    *,
    seed: int,
    requests: int,
    headers: Mapping[str, str],
    per_s: float = 200.0,
    only: int | None = None,
) -> Findings:
    """Perform the cases, the first thousand as a warm-up, and return what was found."""
    findings = Findings(seed)
    target, oracle = await _prepare(victim.url, headers)
    pid = victim.pid()
    victim.new_lines()
    findings.peak_before_mb = victim.peak_mb()
    begun = time.monotonic()
    async with living(victim.url, headers) as findings.bystander:
        numbers = range(requests) if only is None else range(only, only + 1)
        warm_up = min(WARM_UP, len(numbers) // 2)
        await _perform_all(numbers[:warm_up], findings, target, oracle, per_s)
        findings.memory_before_mb = await _settled_memory(victim)
        await _perform_all(numbers[warm_up:], findings, target, oracle, per_s)
        findings.seconds = time.monotonic() - begun
        findings.memory_after_mb = await _settled_memory(victim)
    findings.peak_after_mb = victim.peak_mb()
    findings.lines = victim.new_lines()
    findings.violations += [f"log: {line}" for line in findings.lines.bad[:_MOST_KEPT]]
    findings.violations += [f"bystander: {one}" for one in findings.bystander.complaints[:_MOST_KEPT]]
    if findings.lines.warnings > _MOST_WARNINGS:
        findings.violations.append(f"hostile clients filled the log with {findings.lines.warnings} warnings")
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


async def _perform_all(numbers: range, findings: Findings, target: Target, oracle: Oracle, per_s: float) -> None:
    """Perform the cases, at most so many a second: beyond what a machine can do, a flood measures the machine."""
    waiting = iter(numbers)
    begun = time.monotonic()

    async def work() -> None:
        for number in waiting:
            await asyncio.sleep(begun + (number - numbers.start) / per_s - time.monotonic())
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
