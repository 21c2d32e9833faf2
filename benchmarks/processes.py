"""What the processes of a stack cost: CPU time of whole process trees and resident memory, from /proc."""

import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from devstack.layout import Layout

LOAD_GENERATOR = "load generator"
_SUPERVISOR = "devstack"
# Kinds of processes: the part of a name before its number.
ONE_LOOP = ("mockdex", "api", "worker")
_PYTHON = (*ONE_LOOP, _SUPERVISOR)
_NUMBER = re.compile(r"-\d+$")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)  # idle and iowait among the columns of /proc/stat
_COUNTED_COLUMNS = 8  # user to steal; the guests' time is part of user already


@dataclass(frozen=True)
class Usage:
    """CPU seconds spent so far by each kind of process, and by everything on this machine."""

    at: float
    cpu_s: Mapping[str, float]
    machine_busy_s: float
    pids: Mapping[str, int]


@dataclass(frozen=True)
class Cost:
    """What a measured window cost, and what else the machine did meanwhile."""

    seconds: float
    cpu_s: Mapping[str, float]
    processes: Mapping[str, int]
    """how many there are of each kind"""
    others_cpu_s: float
    restarted: tuple[str, ...]


def cost(before: Usage, after: Usage) -> Cost:
    """Return what lies between two readings."""
    spent = {kind: after.cpu_s[kind] - before.cpu_s.get(kind, 0.0) for kind in after.cpu_s}
    busy_s = after.machine_busy_s - before.machine_busy_s
    names = sorted(before.pids.keys() | after.pids.keys())
    restarted = tuple(name for name in names if before.pids.get(name) != after.pids.get(name))
    counts = Counter(_kind(name) for name in after.pids)
    return Cost(after.at - before.at, spent, counts, max(0.0, busy_s - sum(spent.values())), restarted)


class Processes:
    """The processes of the stack in a directory, and this one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def usage(self) -> Usage:
        """Read what has been spent so far."""
        pids = self._pids()
        table = _process_table()
        children = _children(table)
        spent: defaultdict[str, float] = defaultdict(float)
        for name, pid in pids.items():
            # Without descendants: the stack itself is a child of this process, and its services children of it.
            tree = [pid] if name in (LOAD_GENERATOR, _SUPERVISOR) else _tree(pid, children)
            dead_too = name not in (LOAD_GENERATOR, _SUPERVISOR)
            spent[_kind(name)] += sum(table[each].cpu_s(dead_too) for each in tree if each in table)
        return Usage(time.time(), dict(spent), _machine_busy_s(), pids)

    def resident_mb(self, kind: str) -> dict[str, float]:
        """Return the memory that each process of a kind has resident now."""
        return {name: _memory_mb(pid, "VmRSS") for name, pid in self._pids().items() if _kind(name) == kind}

    def python_peaks_mb(self) -> dict[str, float]:
        """Return the most memory that each of our Python processes ever had resident."""
        return {name: _memory_mb(pid, "VmHWM") for name, pid in self._pids().items() if _kind(name) in _PYTHON}

    def _pids(self) -> dict[str, int]:
        files = {file.stem: file for file in sorted(self._layout.run.glob("*.pid"))} | {
            _SUPERVISOR: self._layout.run / "lock"
        }
        pids: dict[str, int] = {}
        for name, file in files.items():
            with suppress(FileNotFoundError, ValueError):  # just being started again
                pids[name] = int(file.read_text())
        return pids | {LOAD_GENERATOR: os.getpid()}


def _kind(name: str) -> str:
    return _NUMBER.sub("", name)


class _Process(NamedTuple):
    parent: int
    own_ticks: int
    reaped_ticks: int

    def cpu_s(self, dead_too: bool) -> float:
        """Return what it has spent; `dead_too`: with those of its children that have ended."""
        return (self.own_ticks + (self.reaped_ticks if dead_too else 0)) / _TICKS_PER_S


def _process_table() -> dict[int, _Process]:
    table: dict[int, _Process] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            # The name stands in parentheses and may contain anything.
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            user, system, reaped_user, reaped_system = (int(field) for field in fields[11:15])
            table[int(directory.name)] = _Process(int(fields[1]), user + system, reaped_user + reaped_system)
    return table


def _children(table: Mapping[int, _Process]) -> Mapping[int, list[int]]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, process in table.items():
        children[process.parent].append(pid)
    return children


def _tree(root: int, children: Mapping[int, list[int]]) -> Iterable[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(children.get(pid, ()))


def _machine_busy_s() -> float:
    columns = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1 : _COUNTED_COLUMNS + 1]]
    return sum(ticks for place, ticks in enumerate(columns) if place not in _IDLE) / _TICKS_PER_S


def _memory_mb(pid: int, entry: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{entry}:"):
                return int(line.split()[1]) / 1024
    return float("nan")
