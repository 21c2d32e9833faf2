"""What a stack leaves behind whose supervisor was killed, and how the next one in its directory gets rid of it."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from devstack.layout import STACK_MARK, Layout

_PATIENCE_S = 10.0
_SERVERS = {"postgres", "valkey-server"}  # these may overwrite their environment, but stay in their data directory


def end_leftovers(layout: Layout) -> None:
    """End what is left of a former stack in this directory, and wait until it has gone.

    The kernel told its processes to end when the supervisor died; this is for those that take their time, and for
    their own children.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while (left := _processes_of(layout)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if _name(pid) == "postgres" else signal.SIGKILL)
        time.sleep(0.1)
    for file in layout.run.glob("*.pid"):
        file.unlink()


def _processes_of(layout: Layout) -> list[int]:
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _belongs_to(layout, int(each.name))]


def _belongs_to(layout: Layout, pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    with suppress(OSError):
        if _name(pid) in _SERVERS:
            return (process / "cwd").resolve(strict=True).is_relative_to(layout.data)
        return f"{STACK_MARK}={layout.root}".encode() in (process / "environ").read_bytes().split(b"\0")
    return False


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
