import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.database import Comparison, Database, Footprint
from benchmarks.processes import LOAD_GENERATOR, Processes, Usage
from benchmarks.scenarios import acceptance, burst, settle, storage, throughput
from benchmarks.session import Session
from benchmarks.system import System

from devstack.layout import Layout


class Engine(Database):
    """Stands for PostgreSQL and the engine behind it: executes what the stub api has accepted, so many a second."""

    def __init__(self, api: Any, per_s: float, lost: int = 0) -> None:
        self.most_unfinished = 0
        self._api = api
        self._per_s = per_s
        self._lost = lost
        self._executed = 0.0
        self._at = time.monotonic()

    async def unfinished(self) -> int:
        """Count what has not been executed until now."""
        now = time.monotonic()
        taken = len(self._api.requests)
        self.most_unfinished = max(self.most_unfinished, taken - int(self._executed))
        self._executed = min(taken, self._executed + self._per_s * (now - self._at))
        self._at = now
        return taken - int(self._executed)

    async def window(self, begin: float, end: float) -> tuple[int, int]:
        """Count what an engine of this speed executes meanwhile."""
        return round((end - begin) * self._per_s), round((end - begin) * self._per_s)

    async def footprint(self) -> Footprint:
        """Tell of 1,000 bytes for what is there from the start, and of 50 and more for each order."""
        taken = len(self._api.requests)
        return Footprint({"orders": 1_000 + 50 * taken, "attempts": 10 * taken}, 9_000.0 + 70 * taken, 5 + 2 * taken)

    async def checkpoint(self) -> None:
        """Do nothing."""

    async def compare(self, ids: Any) -> Comparison:
        """Tell of as many lost orders as were asked for."""
        left = await self.unfinished() + self._lost
        return Comparison({"confirmed": len(ids) - left}, 0, left, [], time.time())


class FlatProcesses(Processes):
    """Processes that cost nothing and stay as they are."""

    def usage(self) -> Usage:
        """Return no CPU at all."""
        return Usage(time.time(), {LOAD_GENERATOR: 0.0}, 0.0, {"api": 1})

    def resident_mb(self, kind: str) -> dict[str, float]:
        """Return one process of the kind."""
        return {f"{kind}-1": 100.0}

    def python_peaks_mb(self) -> dict[str, float]:
        """Return one process."""
        return {"api": 100.0}


def session(api: Any, engine: Engine) -> Session:
    layout = Layout(Path())
    system = System(layout, "127.0.0.1", api.port, "", "", "")
    return Session(system, engine, FlatProcesses(layout), connections=8)


def values(report: Any) -> dict[str, float]:
    return {figure.name: figure.value for figure in report.figures}


async def test_throughput_keeps_the_number_of_unfinished_orders_bounded(stub_api: Any) -> None:
    """More would starve the worker of CPU, fewer would leave it idle."""
    engine = Engine(stub_api, per_s=400)
    report = await throughput.measure(session(stub_api, engine), seconds=1, unfinished=100, warm_up_s=0.2)
    assert report.sound, report.faults
    assert 90 <= engine.most_unfinished <= 100
    assert values(report)["confirmed"] == pytest.approx(400, rel=0.05)
    assert values(report)["possible at this cost without other programs"] == 0, "nothing was spent"
    assert len(stub_api.requests) > 400


async def test_throughput_ends_early_when_orders_are_refused(stub_api: Any) -> None:
    """The run does not count, and says so."""
    stub_api.answer = lambda _: [b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"]
    began = time.monotonic()
    report = await throughput.measure(
        session(stub_api, Engine(stub_api, per_s=400)), seconds=60, unfinished=10, warm_up_s=60
    )
    assert time.monotonic() - began < 10
    assert not report.sound
    assert "429: 10" in report.faults[0]


async def test_acceptance_sends_a_bounded_number_of_orders(stub_api: Any) -> None:
    """The first ones only warm up."""
    report = await acceptance.measure(session(stub_api, Engine(stub_api, per_s=5_000)), orders=300)
    assert report.sound
    assert len(stub_api.requests) == 300 + 200
    assert values(report)["accepted"] > 100


async def test_settle_measures_until_the_last_order_has_ended(stub_api: Any) -> None:
    """And looks at the memory of each process."""
    report = await settle.measure(session(stub_api, Engine(stub_api, per_s=200)), orders=100)
    assert report.sound
    assert 0.2 < values(report)["last answer to last end"] < 3
    assert values(report)["peak RSS of api"] == 100.0


async def test_burst_compares_memory_at_a_quarter_with_the_end(stub_api: Any) -> None:
    """What grows with the orders would show."""
    report = await burst.measure(session(stub_api, Engine(stub_api, per_s=400)), orders=200)
    assert report.sound
    assert len(stub_api.requests) == 200
    assert values(report)["growth of worker-1"] == 0.0


async def test_a_lost_order_makes_any_run_worthless(stub_api: Any) -> None:
    """However fast it was."""
    report = await settle.measure(session(stub_api, Engine(stub_api, per_s=1_000, lost=1)), orders=20)
    assert not report.sound
    assert "1 have not ended" in report.faults[0]


async def test_an_order_that_is_named_twice_makes_any_run_worthless(stub_api: Any) -> None:
    """Two clients would believe that one order is theirs."""
    same = stub_api.answer(1)
    stub_api.answer = lambda _: same
    async with asyncio.timeout(30):
        report = await settle.measure(session(stub_api, Engine(stub_api, per_s=1_000)), orders=3)
    assert "2 answers named an order" in report.faults[0]


async def test_storage_counts_what_the_orders_have_added(stub_api: Any) -> None:
    """What was there before them is none of theirs."""
    report = await storage.measure(session(stub_api, Engine(stub_api, per_s=5000)), orders=50, counted_after_s=0)
    assert values(report) == {
        "disk per order": 60,
        "in orders with indexes": 50,
        "in attempts with indexes": 10,
        "write-ahead log per order": 70,
        "commits per order": 2,
    }
    assert report.sound
