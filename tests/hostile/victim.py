"""The system under attack, seen from outside: its address, its processes' memory, its logs."""

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.running_stack import running_stack

_MB = 1024
_NO_INODE = "0"
_BAD = ("Traceback", "Task exception was never retrieved", "Fatal error")
_ERRORS = ("error", "critical")
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Lines:
    """What the logs have said since a moment; `bad` are errors and whatever is no log line of ours."""

    count: int = 0
    warnings: int = 0
    bad: tuple[str, ...] = ()


class Victim:
    """A running stack, by its directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read_until: dict[Path, int] = {}

    @property
    def url(self) -> str:
        """The api's address."""
        return (self._root / "run" / "api-url").read_text().strip()

    def pid(self, name: str = "api") -> int:
        """Return the process id."""
        return int((self._root / "run" / f"{name}.pid").read_text())

    def memory_mb(self, name: str = "api") -> float:
        """Return the resident memory."""
        return _memory_mb(self.pid(name), "VmRSS")

    def peak_mb(self, name: str = "api") -> float:
        """Return the most that was ever resident."""
        return _memory_mb(self.pid(name), "VmHWM")

    def holds(self, ports: Collection[int]) -> int:
        """Count the connections from these ports of clients that the api still has open."""
        own = urlsplit(self.url).port
        held = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            held += local == own and remote in ports and fields[9] != _NO_INODE  # the kernel's alone, once it is closed
        return held

    def new_lines(self) -> Lines:
        """Read what was logged by api, worker and mock DEX since this was called last."""
        count, warnings, bad = 0, 0, list[str]()
        for path in sorted((self._root / "logs").glob("*.log")):
            if not path.name.startswith(("api", "worker", "mockdex")):
                continue
            data = path.read_bytes()
            fresh = data[self._read_until.get(path, 0) :]
            self._read_until[path] = len(data)
            for line in fresh.splitlines():
                count += 1
                level = _level(line)
                warnings += level == "warning"
                if (
                    level in (None, *_ERRORS)
                    or len(line) > _LONGEST_LINE
                    or any(mark.encode() in line for mark in _BAD)
                ):
                    bad.append(f"{path.stem}: {line[:2000].decode(errors='backslashreplace')}")
        return Lines(count, warnings, tuple(bad))


def _memory_mb(pid: int, key: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / _MB


def _level(line: bytes) -> str | None:
    try:
        return json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def attacked(stack_dir: Path | None, **environ: str) -> Iterator[Victim]:
    """Attack the running stack of the directory, or run one in a temporary directory for it."""
    if stack_dir is not None:
        yield Victim(stack_dir)
        return
    with tempfile.TemporaryDirectory(prefix="hostile-") as root, running_stack(Path(root), **environ):
        yield Victim(Path(root))
