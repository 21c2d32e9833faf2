"""What a run found: figures with their goals and CPU by process, as a table for people and as JSON."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.processes import ONE_LOOP, Cost

RESULTS = Path(__file__).parent / "results"
_PER_MS = 1000


@dataclass(frozen=True)
class Figure:
    """A measured number; `at_least` and `at_most` are the goal where there is one."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def goal(self) -> str:
        """The goal in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:,g}"
        return "" if self.at_most is None else f"≤ {self.at_most:,g}"


@dataclass(frozen=True)
class CpuPerOrder:
    """What the orders of a window cost; `orders` is what the cost is divided by."""

    cost: Cost
    orders: int
    counted: str

    def by_process_ms(self) -> dict[str, float]:
        """Return milliseconds of CPU per order, by kind of process."""
        return {kind: spent * _PER_MS / max(1, self.orders) for kind, spent in self.cost.cpu_s.items()}

    def possible_per_s(self, cpus: int) -> float:
        """Return how many orders a second so much CPU per order allows at most, if no other program takes any.

        A process of ours works on one event loop, so it uses one CPU at most.
        """
        per_order = self.by_process_ms()
        loops = [per_order.get(kind, 0.0) / max(1, self.cost.processes.get(kind, 0)) for kind in ONE_LOOP]
        slowest_ms = max(sum(per_order.values()) / cpus, *loops)
        return _PER_MS / slowest_ms if slowest_ms else 0.0


@dataclass
class Report:
    """A run of a scenario."""

    scenario: str
    figures: list[Figure] = field(default_factory=list[Figure])
    cpu: CpuPerOrder | None = None
    faults: list[str] = field(default_factory=list[str])
    """what makes the run worthless: refused requests, lost orders, an audit that is not clean"""
    notes: list[str] = field(default_factory=list[str])

    @property
    def sound(self) -> bool:
        """Whether nothing was lost and everything that was measured counts."""
        return not self.faults

    def show(self, console: Console) -> None:
        """Print it for people."""
        console.print(_figures_table(self.scenario, self.figures))
        if self.cpu is not None:
            console.print(_cpu_table(self.cpu))
        for note in self.notes:
            console.print(f"[dim]{note}[/dim]", highlight=False)
        for fault in self.faults:
            console.print(f"[bold red]{fault}[/bold red]", highlight=False)

    def save(self, directory: Path) -> Path:
        """Write it as a line of JSON into a file of its own, and return that."""
        directory.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        path = directory / f"{now:%Y%m%dT%H%M%S}-{self.scenario}.json"
        path.write_bytes(orjson.dumps(self._document(now), option=orjson.OPT_APPEND_NEWLINE))
        return path

    def _document(self, now: datetime) -> dict[str, Any]:
        cpu = self.cpu
        return {
            "scenario": self.scenario,
            "at": now.isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
            "sound": self.sound,
            "figures": [asdict(figure) | {"met": figure.met} for figure in self.figures],
            "cpuPerOrder": None
            if cpu is None
            else {
                "counted": cpu.counted,
                "orders": cpu.orders,
                "seconds": cpu.cost.seconds,
                "milliseconds": cpu.by_process_ms(),
                "othersCpuS": cpu.cost.others_cpu_s,
            },
            "notes": self.notes,
            "faults": self.faults,
        }


def peaks(peaks_mb: Mapping[str, float], at_most: float | None = None) -> list[Figure]:
    """Return the figures of the processes' memory."""
    return [Figure(f"peak RSS of {name}", value, "MB", at_most=at_most) for name, value in sorted(peaks_mb.items())]


def _figures_table(scenario: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=scenario, title_justify="left", title_style="bold")
    table.add_column("measured")
    for heading in ("value", "unit", "goal", ""):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    marks = {True: "[green]reached[/green]", False: "[red]missed[/red]", None: ""}
    for figure in figures:
        table.add_row(figure.name, _number(figure.value), figure.unit, figure.goal, marks[figure.met])
    return table


def _cpu_table(cpu: CpuPerOrder) -> Table:
    per_order = cpu.by_process_ms()
    total = sum(per_order.values())
    cpus = os.cpu_count() or 1
    table = Table(
        title=f"CPU over {cpu.cost.seconds:.1f} s, {cpu.orders:,} orders {cpu.counted}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("process")
    for heading in ("ms per order", "share", "of one core"):
        table.add_column(heading, justify="right")
    for kind, spent_ms in sorted(per_order.items(), key=lambda row: -row[1]):
        of_core = cpu.cost.cpu_s[kind] / cpu.cost.seconds
        table.add_row(kind, f"{spent_ms:.3f}", f"{spent_ms / total:.0%}" if total else "", f"{of_core:.0%}")
    table.add_section()
    ours = sum(cpu.cost.cpu_s.values())
    table.add_row("all of these", f"{total:.3f}", "", f"{ours / cpu.cost.seconds:.0%}")
    others = cpu.cost.others_cpu_s
    table.add_row("other programs and kernel", "", "", f"{others / cpu.cost.seconds:.0%}")
    table.caption = f"machine {(ours + others) / (cpu.cost.seconds * cpus):.0%} busy"
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _PER_MS else f"{value:.4g}"


def _commit() -> str | None:
    git = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
