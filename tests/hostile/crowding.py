"""A crowd of sockets beside ordinary readers: what it costs the api in memory, and the readers in time."""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

from hostile.audience import Reader, idling, never_reading, reading
from hostile.case import BODY
from hostile.latencies import summary
from hostile.victim import Lines, Victim

_PENDING_ORDERS = 100
_HEAR_OUT_WITHIN_S = 60.0
_SETTLE_S = 5.0
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Crowd:
    """How many there are, and what happens meanwhile: so many orders a second over so many wallets."""

    idle: int = 2000
    mute: int = 200
    readers: int = 50
    wallets: int = 2
    orders_per_s: float = 20.0
    seconds: float = 30.0
    mute_gone_within_s: float = 150.0


@dataclass
class Phase:
    """What readers heard while orders ran."""

    orders: int = 0
    latencies: list[float] = field(default_factory=list[float])
    complaints: Counter[str] = field(default_factory=Counter[str])


@dataclass
class Outcome:
    """What a crowd has shown; memory in MB."""

    memory_limit: float
    alone: Phase = field(default_factory=Phase)
    crowded: Phase = field(default_factory=Phase)
    at_start: float = 0.0
    with_idle: float = 0.0
    most: float = 0.0
    at_end: float = 0.0
    idle_closed: Counter[int] = field(default_factory=Counter[int])
    mute_gone_after_s: float | None = None
    endings: Counter[str] = field(default_factory=Counter[str])
    lines: Lines = field(default_factory=Lines)
    died: bool = False

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        found = [f"log: {line}" for line in self.lines.bad]
        for name, phase in (("alone", self.alone), ("in the crowd", self.crowded)):
            found += [f"readers {name}: {what} ({count}x)" for what, count in phase.complaints.items()]
        if self.most > self.memory_limit:
            found.append(f"the api had {self.most:.0f} MB, more than {self.memory_limit:g}")
        found += [f"idle sockets were closed with {code} ({count}x)" for code, count in self.idle_closed.items()]
        if self.mute_gone_after_s is None:
            found.append("clients that never read were kept")
        if self.died:
            found.append("the api died and was started again")
        return found

    def report(self) -> list[str]:
        """Return the run in lines for people."""
        gone = "never" if self.mute_gone_after_s is None else f"after {self.mute_gone_after_s:.0f} s"
        endings = ", ".join(f"{how} {count}" for how, count in self.endings.most_common())
        memory = {"first": self.at_start, "idle ones": self.with_idle, "most": self.most, "afterwards": self.at_end}
        return [
            f"readers alone:    {self.alone.orders} orders, events on their way {summary(self.alone.latencies)}",
            f"readers in crowd: {self.crowded.orders} orders, events on their way {summary(self.crowded.latencies)}",
            "api memory in MB: " + ", ".join(f"{when} {amount:.1f}" for when, amount in memory.items()),
            f"clients that never read: gone {gone}, as {endings}",
            f"idle sockets closed: {self.idle_closed.total()}",
            f"log: {self.lines.count} lines, {self.lines.warnings} warnings, {len(self.lines.bad)} bad",
        ]


async def crowd_in(victim: Victim, crowd: Crowd, headers: Mapping[str, str], *, memory_limit_mb: float) -> Outcome:
    """Measure readers alone, then in the crowd."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pid = victim.pid()
    victim.new_lines()
    outcome = Outcome(memory_limit_mb)
    wallets = [f"busy-{uuid4()}" for _ in range(crowd.wallets)]
    async with aiohttp.ClientSession(victim.url, headers=headers) as session:
        await _read_while_ordering(outcome.alone, victim, session, crowd, wallets)
        outcome.at_start = victim.memory_mb()
        paths = await _idle_paths(session, crowd)
        async with _watched_memory(victim, outcome), idling(victim.url, paths, headers) as idle:
            outcome.with_idle = victim.memory_mb()
            unread = [wallets[number % len(wallets)] for number in range(crowd.mute)]
            with never_reading(victim.url, unread, headers) as mutes:
                leaving = asyncio.create_task(_until_gone(victim, {mute.port for mute in mutes}, crowd, outcome))
                await _read_while_ordering(outcome.crowded, victim, session, crowd, wallets, leaving)
                outcome.endings.update([await asyncio.to_thread(mute.ending) for mute in mutes])
            outcome.idle_closed.update(one.close_code for one in idle if one.close_code is not None)
    await asyncio.sleep(_SETTLE_S)
    outcome.at_end = victim.memory_mb()
    outcome.lines = victim.new_lines()
    outcome.died = victim.pid() != pid
    return outcome


async def _idle_paths(session: aiohttp.ClientSession, crowd: Crowd) -> list[str]:
    orders = [await _place(session, "/api/orders", f"idle-{number}") for number in range(_PENDING_ORDERS)]
    half = crowd.idle // 2
    return [f"/ws/orders/{orders[number % len(orders)]}" for number in range(half)] + [
        f"/ws?wallet=idle-{number}" for number in range(crowd.idle - half)
    ]


async def _read_while_ordering(
    phase: Phase,
    victim: Victim,
    session: aiohttp.ClientSession,
    crowd: Crowd,
    wallets: list[str],
    leaving: asyncio.Task[None] | None = None,
) -> None:
    """Place orders for the time given, and until those have gone who are to go; then hear every order out."""
    followed = [wallets[number % len(wallets)] for number in range(crowd.readers)]
    placed: dict[str, list[str]] = {wallet: [] for wallet in wallets}
    async with reading(victim.url, followed, dict(session.headers)) as readers:
        pairs = list(zip(readers, followed, strict=True))
        await _until_all_hear(session, pairs, wallets)
        until = time.monotonic() + crowd.seconds
        placing: set[asyncio.Task[None]] = set()
        while time.monotonic() < until or (leaving is not None and not leaving.done()):
            wallet = wallets[phase.orders % len(wallets)]
            placing.add(asyncio.create_task(_place_and_keep(session, wallet, placed[wallet])))
            phase.orders += 1
            await asyncio.sleep(1 / crowd.orders_per_s)
        await asyncio.gather(*placing)
        await _hear_out(pairs, placed)
        for reader, wallet in pairs:
            phase.latencies += reader.latencies
            phase.complaints += reader.complaints(placed[wallet])


async def _until_all_hear(
    session: aiohttp.ClientSession, readers: list[tuple[Reader, str]], wallets: list[str]
) -> None:
    """Wait until every reader has begun: an order that ran before is not told from its beginning."""
    while not all(reader.finished for reader, _ in readers):
        for wallet in wallets:
            await _place(session, "/api/orders/execute", wallet)
        await asyncio.sleep(1)
    for reader, _ in readers:
        reader.latencies.clear()


async def _hear_out(readers: list[tuple[Reader, str]], placed: Mapping[str, list[str]]) -> None:
    deadline = time.monotonic() + _HEAR_OUT_WITHIN_S
    while time.monotonic() < deadline:
        if all(reader.finished.issuperset(placed[wallet]) for reader, wallet in readers):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _place_and_keep(session: aiohttp.ClientSession, wallet: str, placed: list[str]) -> None:
    placed.append(await _place(session, "/api/orders/execute", wallet))


async def _place(session: aiohttp.ClientSession, path: str, wallet: str) -> str:
    async with session.post(path, json=BODY | {"userWallet": wallet}) as answer:
        document = await answer.json(content_type=None)
    if "orderId" not in document:
        raise RuntimeError(f"an order was answered with {answer.status}: {document}")
    return document["orderId"]


async def _until_gone(victim: Victim, ports: Collection[int], crowd: Crowd, outcome: Outcome) -> None:
    """Wait until the api has let go of every client that never reads."""
    begun = time.monotonic()
    while time.monotonic() < begun + crowd.mute_gone_within_s:
        await asyncio.sleep(_LOOK_EVERY_S)
        if victim.holds(ports) == 0:
            outcome.mute_gone_after_s = time.monotonic() - begun
            return


@asynccontextmanager
async def _watched_memory(victim: Victim, outcome: Outcome) -> AsyncGenerator[None]:
    async def watch() -> None:
        while True:
            outcome.most = max(outcome.most, victim.memory_mb())
            await asyncio.sleep(_LOOK_EVERY_S)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
