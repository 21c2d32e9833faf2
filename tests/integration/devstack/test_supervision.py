import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.children import Program
from devstack.faults import ProcessFailed, StopRequested
from devstack.layout import Layout
from devstack.supervision import Supervisor, on_stop_signals


class Watched:
    """A supervisor with what it has said."""

    def __init__(self, root: Path, **options: float) -> None:
        self.layout = Layout(root)
        self.layout.prepare()
        self.said: list[str] = []
        self.supervisor = Supervisor(self.layout, self.said.append, **options)

    def start(self, *programs: Program) -> None:
        """Bring programs up."""
        self.supervisor.launch(programs)
        self.supervisor.wait_until_ready()

    def watch_until(self, truth: Callable[[], bool]) -> None:
        """Keep the programs running until something is true, for at most half a minute."""

        def wait() -> None:
            deadline = time.monotonic() + 30
            while not truth() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.supervisor.request_stop()

        thread = threading.Thread(target=wait)
        thread.start()
        self.supervisor.watch()
        thread.join()
        assert truth(), self.said

    def pid(self, name: str) -> int:
        """Read a program's pid file."""
        return int(self.layout.pid_file(name).read_text())


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Supervise programs of the test's own, and stop them when it ends."""
    watched = Watched(tmp_path)
    yield watched
    watched.supervisor.hurry()
    watched.supervisor.stop()


def python(name: str, script: str, ready_file: Path | None = None, **settings: object) -> Program:
    """Make a program of a few lines; it is ready when its ready file is there."""
    ready = (lambda _pid: ready_file.exists()) if ready_file else (lambda _pid: True)
    argv = [sys.executable, "-I", "-S", "-c", f"import os, signal, sys, time\n{script}"]
    return Program(name, argv, ready=ready, **settings)  # type: ignore[arg-type]  # settings of a Program


def test_programs_are_stopped_stage_by_stage_from_the_highest(watched: Watched, tmp_path: Path) -> None:
    """Apis take no more orders before workers go, and servers outlive everybody who needs them."""
    order = tmp_path / "order"
    script = (
        f"def end(*_):\n time.sleep(0.2)\n open('{order}', 'a').write(sys.argv[0] + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nopen(sys.argv[1], 'w')\nwhile True: time.sleep(1)"
    )
    programs: list[Program] = []
    for name, stage in (("server", 0), ("worker", 2), ("api", 3), ("dex", 1)):
        ready = tmp_path / f"{name} is ready"
        text = f"sys.argv = ['{name}', '{ready}']\n{script}"
        programs.append(python(name, text, ready, stage=stage, stop_patience_s=10.0))
    watched.start(*programs)
    watched.supervisor.stop()
    assert order.read_text().split() == ["api", "worker", "dex", "server"]
    assert list(watched.layout.run.iterdir()) == []


def test_a_hurried_stop_waits_for_nobody(watched: Watched, tmp_path: Path) -> None:
    """Whoever asks twice does not want to hear of patience."""
    ready = tmp_path / "ready"
    stubborn = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('{ready}', 'w')\ntime.sleep(60)"
    watched.start(python("stubborn", stubborn, ready, stop_patience_s=60.0))
    threading.Timer(0.3, watched.supervisor.hurry).start()
    started = time.monotonic()
    watched.supervisor.stop()
    assert time.monotonic() - started < 30


def test_one_that_dies_now_and_then_is_started_again_at_once(watched: Watched) -> None:
    """With a new pid in its file."""
    watched.start(python("api", "time.sleep(60)"))
    killed = watched.pid("api")
    os.kill(killed, signal.SIGKILL)
    watched.watch_until(lambda: any("ready again" in line for line in watched.said))
    assert "api       was ended by SIGKILL; starting it again in 0.1 s" in watched.said
    assert watched.pid("api") != killed


def test_how_soon_the_dead_are_started_again_can_be_said(tmp_path: Path) -> None:
    """For drills, which measure what happens meanwhile."""
    watched = Watched(tmp_path, first_backoff_s=0.5)
    try:
        watched.start(python("api", "time.sleep(60)"))
        died = time.monotonic()
        os.kill(watched.pid("api"), signal.SIGKILL)
        watched.watch_until(lambda: any("ready again" in line for line in watched.said))
        assert time.monotonic() - died >= 0.5
        assert "api       was ended by SIGKILL; starting it again in 0.5 s" in watched.said
    finally:
        watched.supervisor.hurry()
        watched.supervisor.stop()


def test_one_that_keeps_dying_is_started_more_and_more_rarely_and_reported(watched: Watched, tmp_path: Path) -> None:
    """A stack that runs does not give up on it; the report has the end of its log."""
    flag = tmp_path / "first time"
    flag.touch()
    once = f"if not os.path.exists('{flag}'): sys.exit('now I know why')\nos.remove('{flag}')\ntime.sleep(60)"
    watched.start(python("worker-1", once))
    deadline = time.monotonic() + 30
    while flag.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(watched.pid("worker-1"), signal.SIGKILL)
    watched.watch_until(lambda: any("keeps dying" in line for line in watched.said))
    (report,) = [line for line in watched.said if "keeps dying" in line]
    assert str(watched.layout.log("worker-1")) in report
    assert report.endswith("now I know why")
    backoffs = [line.split()[-2] for line in watched.said if "starting it again" in line]
    assert backoffs[:3] == ["0.1", "0.2", "0.4"][: len(backoffs)]


def test_refused_settings_end_the_start_at_the_first_try(watched: Watched) -> None:
    """A service that cannot use its environment will not be able to the next time."""
    refusing = python("api", "print('API_PORT must be a whole number'); sys.exit(2)", Path("/none"))
    with pytest.raises(ProcessFailed, match=r"(?s)api ended with code 2.*API_PORT must be a whole number"):
        watched.start(refusing)
    assert watched.said == []


def test_a_failed_step_ends_the_start_and_what_dies_meanwhile_does_too(watched: Watched) -> None:
    """The others are watched while a step runs."""
    with pytest.raises(ProcessFailed, match="migrate ended with code 1"):
        watched.supervisor.run_to_end(python("migrate", "sys.exit(1)"))
    watched.supervisor.launch([python("mockdex", "sys.exit(1)", Path("/none"))])
    with pytest.raises(ProcessFailed, match="mockdex ended with code 1"):
        watched.supervisor.run_to_end(python("migrate", "time.sleep(60)"))


def test_a_stop_during_a_step_ends_the_step(watched: Watched) -> None:
    """Ctrl-C need not wait for a migration."""
    threading.Timer(0.2, watched.supervisor.request_stop).start()
    with pytest.raises(StopRequested):
        watched.supervisor.run_to_end(python("migrate", "time.sleep(60)"))


def test_the_first_signal_asks_and_every_further_one_insists() -> None:
    """Ctrl-C, SIGTERM and a closed terminal mean the same."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard: list[str] = []
    try:
        on_stop_signals(lambda: heard.append("stop"), lambda: heard.append("insist"))
        for number in before:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == ["stop", "insist", "insist"]
