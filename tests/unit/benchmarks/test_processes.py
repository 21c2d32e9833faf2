import os
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import LOAD_GENERATOR, Processes, Usage, cost

from devstack.layout import Layout

BURN = "import time\nwhile time.process_time() < {}: pass"


def stack(root: Path, **pids: int) -> Processes:
    layout = Layout(root)
    layout.run.mkdir(parents=True)
    for name, pid in pids.items():
        layout.pid_file(name.replace("_", "-")).write_text(f"{pid}\n")
    return Processes(layout)


def test_the_cost_of_a_process_includes_its_children_alive_and_dead(tmp_path: Path) -> None:
    """PostgreSQL spends in backends that come and go."""
    alive = f"{BURN.format(0.2)}\nprint(flush=True)\ninput()"
    code = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {BURN.format(0.3)!r}])\n"
        f"child = subprocess.Popen([sys.executable, '-c', {alive!r}], stdin=subprocess.PIPE)\n"
        "input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        processes = stack(tmp_path, postgres=parent.pid)
        before = Usage(0.0, {"postgres": 0.0}, 0.0, {})
        parent.stdout.readline()
        spent = cost(before, processes.usage()).cpu_s["postgres"]
        parent.stdin.close()
    assert 0.45 < spent < 2


def test_processes_of_one_kind_are_one_line_of_the_report(tmp_path: Path) -> None:
    """Two workers cost what both spend."""
    processes = stack(tmp_path, worker_1=os.getpid(), worker_2=os.getpid(), api=os.getpid())
    usage = processes.usage()
    assert set(usage.cpu_s) == {"worker", "api", LOAD_GENERATOR}
    assert usage.cpu_s["worker"] > 1.5 * usage.cpu_s["api"] > 0


def test_what_others_did_meanwhile_is_told(tmp_path: Path) -> None:
    """A number from a busy machine must be recognisable as one."""
    processes = stack(tmp_path)
    before = processes.usage()
    subprocess.run([sys.executable, "-c", BURN.format(0.4)], check=True)
    spent = cost(before, processes.usage())
    assert spent.others_cpu_s > 0.3
    assert spent.cpu_s[LOAD_GENERATOR] < 0.3


def test_a_process_that_was_started_again_is_named() -> None:
    """What it spent before is not known any more."""
    before = Usage(0.0, {"api": 1.0}, 1.0, {"api": 1, "worker-1": 2, "mockdex": 3})
    after = Usage(1.0, {"api": 1.0}, 1.0, {"api": 1, "worker-1": 4})
    assert cost(before, after).restarted == ("mockdex", "worker-1")


def test_memory_is_that_of_our_python_processes(tmp_path: Path) -> None:
    """The goal is about ours, not about PostgreSQL."""
    me = os.getpid()
    processes = stack(tmp_path, worker_1=me, api=me, mockdex=me, postgres=me, valkey=me)
    peaks = processes.python_peaks_mb()
    assert set(peaks) == {"worker-1", "api", "mockdex"}
    now = processes.resident_mb("worker")["worker-1"]
    assert 5 < now <= peaks["worker-1"] < 5_000


def test_a_process_that_has_just_gone_does_not_disturb(tmp_path: Path) -> None:
    """A pid file may outlive its process by a moment, and be empty for another."""
    processes = stack(tmp_path, api=2**22 - 1)
    (tmp_path / "run" / "worker-1.pid").write_text("")
    assert processes.usage().cpu_s["api"] == 0
    assert "worker" not in processes.usage().cpu_s
