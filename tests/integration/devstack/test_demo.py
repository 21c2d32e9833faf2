import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(180)
def test_the_demo_shows_everything_and_leaves_nothing(tmp_path: Path) -> None:
    """Ten orders to their end, the choice of a route, a trace through all services, a clean audit; then all is gone.

    What belongs to another stack of the person's is left alone.
    """
    others = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0", "API_PORT": "1"}
    with _demo(tmp_path, **others) as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 0, output
    assert len(re.findall(r"^ +[0-9.]+ s +\w+ +[0-9.]+ \w+ → \w+ +submitted$", output, re.MULTILINE)) == 9
    assert len(re.findall("●●●●● confirmed", output)) == 9
    assert len(re.findall("✗✗✗✗✗ failed", output)) == 1
    assert "is below the order's minimum output of 1000000" in output
    assert re.search(r"^(raydium|meteora) .* ◀ chosen", output, re.MULTILINE)
    assert re.search(r"more than (raydium|meteora)$", output, re.MULTILINE)
    for service in ("engine-api", "engine-worker", "mockdex"):
        assert re.search(rf"^ *[A-Za-z].* {service} +[0-9.]+ +[0-9.]+ ", output, re.MULTILINE)
    assert "landed swaps: 9" in output
    assert "\nlost 0, doubled 0, unexplained 0\n" in output
    assert list(tmp_path.iterdir()) == []
    assert _processes_below(tmp_path) == []


def test_an_interrupted_demo_cleans_up(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the orders leaves nothing either."""
    with _demo(tmp_path) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if line.endswith(" routing\n"):
                break
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate()
    assert demo.returncode == 130, output
    assert output.splitlines()[-1] == "Interrupted: everything that was started is stopped again."
    assert list(tmp_path.iterdir()) == []
    assert _processes_below(tmp_path) == []


def _demo(directory: Path, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "devstack", "demo"],
        env={**os.environ, "TMPDIR": str(directory), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _processes_below(directory: Path) -> list[int]:
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").resolve().is_relative_to(directory)
            marked = f"DEVSTACK_ROOT={directory}/".encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if inside or marked:
            found.append(int(process.name))
    return found
