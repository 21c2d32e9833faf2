"""A background task that ends by itself ends its process, and says which it was."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
import uvloop
from engine_common.supervision import supervise
from engine_common.telemetry import logs

async def dies():
    await asyncio.sleep(0)
    raise RuntimeError("what nobody foresaw")

async def returns():
    await asyncio.sleep(0)

async def goes_on():
    await asyncio.sleep(3600)

async def main(which):
    task = supervise(globals()[which](), "listening to Redis")
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print("stopped as usual")

logs.configure("test")
try:
    {run}(main("{which}"))
finally:
    logs.flush()
"""


def run(which: str, loop: str, directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{which}", which).replace("{run}", loop)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("loop", ["uvloop.run", "asyncio.run"])
@pytest.mark.parametrize(
    ("which", "event", "reason"),
    [("dies", "background_task.failed", "what nobody foresaw"), ("returns", "background_task.ended", "")],
)
def test_a_task_that_ends_by_itself_ends_the_process(
    tmp_path: Path, which: str, event: str, reason: str, loop: str
) -> None:
    """With code 1, so that it is started again, and a line that names the task."""
    code, output = run(which, loop, tmp_path)
    assert code == 1
    assert f'"event":"{event}"' in output
    assert '"task":"listening to Redis"' in output
    assert reason in output
    assert "stopped as usual" not in output


@pytest.mark.parametrize("loop", ["uvloop.run", "asyncio.run"])
def test_a_task_that_is_cancelled_ends_nothing(tmp_path: Path, loop: str) -> None:
    """That is how a process stops."""
    assert run("goes_on", loop, tmp_path) == (0, "stopped as usual\n")
