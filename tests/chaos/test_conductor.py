"""The conductor can carry out every kind of fault, and says so where it could not."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.conductor import Conductor
from chaos.kinds import KINDS, LINKS, Fault, Kind, Topology
from chaos.proxy import FAIR, Proxy
from chaos.run import DEX_SETTINGS
from chaos.schedule import Injection
from chaos.system import System
from support.waiting import eventually

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Make a stack that was never brought up."""
    return System(tmp_path, Topology(1, 1), {}, lambda _line: None)


@pytest.fixture
def worker(system: System) -> Iterator[subprocess.Popen[bytes]]:
    """Run something in the place of its worker."""
    system.layout.run.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        system.layout.pid_file("worker-1").write_text(str(process.pid))
        yield process
        process.kill()


def conductor_of(system: System) -> Conductor:
    return Conductor(system, DEX_SETTINGS, lambda _line: None, patience_s=0.1)


def fault(name: str, victim: str, seconds: float = 0.0, **parameters: float) -> Fault:
    return Fault(KINDS_BY_NAME[name], victim, seconds, parameters)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_every_setting_of_the_dex_that_a_fault_changes_can_be_put_back() -> None:
    """Otherwise one fault would last to the end of the run."""
    assert {kind.subject for kind in KINDS if kind.subject} == DEX_SETTINGS.keys()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_every_kind_is_carried_out_or_missed_for_a_reason_that_is_foreseen(system: System, kind: Kind) -> None:
    """Of a stack that does not run only the network is there; what was missed does not count."""
    links = {link for near, far in LINKS for link in system.topology.links(near, far)}
    system.proxies.update({link: Proxy("127.0.0.1", 1) for link in links})
    drawn = replace(kind.draw(random.Random(1), system.topology), seconds=0.01)
    conductor = conductor_of(system)
    await conductor.inject(drawn)
    assert len(conductor.record) == 1
    assert bool(conductor.happened) is (drawn.victim in links)
    assert all(proxy.weather == FAIR for proxy in system.proxies.values())


async def test_signals_go_to_the_victim(system: System, worker: subprocess.Popen[bytes]) -> None:
    """Stopped for its time, going on, and killed."""
    conductor = conductor_of(system)
    stalling = asyncio.create_task(conductor.inject(fault("stall-worker", "worker-1", 0.3)))
    await eventually(lambda: is_stopped(worker.pid))
    await stalling
    await eventually(lambda: not is_stopped(worker.pid))
    assert worker.poll() is None
    await conductor.inject(fault("kill-worker", "worker-1"))
    assert await asyncio.to_thread(worker.wait, 10) == -signal.SIGKILL
    assert [each.fault.kind.name for each in conductor.happened] == ["stall-worker", "kill-worker"]


async def test_a_schedule_is_kept_with_its_overlaps(system: System, worker: subprocess.Popen[bytes]) -> None:
    """A fault does not wait for the end of another; all are over when the conducting is."""
    conductor = conductor_of(system)
    system.proxies["api>valkey"] = Proxy("127.0.0.1", 1)
    await conductor.conduct(
        [
            Injection(0.0, fault("stall-worker", "worker-1", 0.4)),
            Injection(0.1, fault("net-swallow-api-valkey", "api>valkey", 0.1)),
        ]
    )
    stalled, swallowed = conductor.happened
    assert stalled.began_at < swallowed.began_at < swallowed.ended_at < stalled.ended_at
    assert not is_stopped(worker.pid)
