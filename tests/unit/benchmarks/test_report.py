import io
from pathlib import Path

import orjson
import pytest
from benchmarks.percentiles import percentile_figures
from benchmarks.processes import Cost
from benchmarks.report import CpuPerOrder, Figure, Report, peaks
from rich.console import Console


def report() -> Report:
    cost = Cost(
        seconds=10.0,
        cpu_s={"worker": 7.0, "api": 2.0, "idle one": 0.0},
        processes={"worker": 1, "api": 1, "idle one": 1},
        others_cpu_s=4.0,
        restarted=(),
    )
    return Report(
        "throughput",
        [Figure("confirmed", 812.4, "orders/s", at_least=700), Figure("memory", 250.0, "MB", at_most=200)],
        CpuPerOrder(cost, 7_000, "confirmed"),
        notes=["a note"],
    )


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("f", 700.0, "", at_least=700), True),
        (Figure("f", 699.9, "", at_least=700), False),
        (Figure("f", 15.0, "", at_most=15), True),
        (Figure("f", 15.1, "", at_most=15), False),
        (Figure("f", float("nan"), "", at_most=15), False),
        (Figure("f", 1.0, ""), None),
    ],
)
def test_a_goal_is_reached_or_missed(figure: Figure, met: bool | None) -> None:
    """What could not be measured did not reach its goal."""
    assert figure.met is met


def test_cpu_per_order_is_the_windows_cpu_divided_by_its_orders() -> None:
    """It compares runs on machines that others use too."""
    cpu = report().cpu
    assert cpu is not None
    assert cpu.by_process_ms() == {"worker": 1.0, "api": pytest.approx(2 / 7), "idle one": 0.0}


@pytest.mark.parametrize(
    ("worker_s", "workers", "cpus", "possible_per_s"),
    [
        (7.0, 1, 2, 1_000),  # one loop can use one CPU: 1 ms of it an order
        (7.0, 2, 2, 1_000 / 0.9),  # two share the work, and 2 CPUs do 1.8 ms an order
        (7.0, 1, 1, 1_000 / 1.8),
        (0.7, 1, 2, 1_000 / 0.8),  # then the api is the slowest
    ],
)
def test_what_an_undisturbed_machine_could_do_is_told(
    worker_s: float, workers: int, cpus: int, possible_per_s: float
) -> None:
    """A measurement among other programs says little about speed, but all about cost."""
    processes = {"worker": workers, "api": 1}
    cost = Cost(10.0, {"worker": worker_s, "api": 5.6}, processes, others_cpu_s=4.0, restarted=())
    assert CpuPerOrder(cost, 7_000, "confirmed").possible_per_s(cpus) == pytest.approx(possible_per_s)


def test_the_tables_name_goals_processes_and_faults() -> None:
    """A person sees at a glance what was missed, and that a run does not count."""
    output = io.StringIO()
    unsound = report()
    unsound.faults.append("of 10 accepted orders 1 is not stored")
    unsound.show(Console(file=output, width=120))
    text = output.getvalue()
    for expected in (
        "≥ 700",
        "reached",
        "≤ 200",
        "missed",
        "worker",
        "1.000",
        "% busy",
        "a note",
        "not stored",
    ):
        assert expected in text


def test_a_run_is_kept_as_a_line_of_json(tmp_path: Path) -> None:
    """Later runs are compared with it."""
    path = report().save(tmp_path / "results")
    text = path.read_bytes()
    assert text.count(b"\n") == 1
    document = orjson.loads(text)
    assert document["scenario"] == "throughput"
    assert document["sound"] is True
    assert document["figures"][0] == {
        "name": "confirmed",
        "value": 812.4,
        "unit": "orders/s",
        "at_least": 700,
        "at_most": None,
        "met": True,
    }
    assert document["cpuPerOrder"]["milliseconds"]["worker"] == 1.0


def test_memory_has_a_figure_a_process() -> None:
    """The goal holds for each of them."""
    figures = peaks({"worker-1": 90.0, "api": 210.0}, at_most=200)
    assert [(figure.name, figure.met) for figure in figures] == [
        ("peak RSS of api", False),
        ("peak RSS of worker-1", True),
    ]


def test_percentiles_are_in_milliseconds_and_the_goal_is_the_medians() -> None:
    """An event that came before the answer counts as at once."""
    figures = percentile_figures("wait", [-0.5] + [0.010] * 97 + [0.5, 0.5], median_at_most=15)
    assert [figure.name for figure in figures] == ["wait, median", "wait, p95", "wait, p99"]
    assert figures[0].value == pytest.approx(10, rel=0.01)
    assert figures[2].value == pytest.approx(500, rel=0.01)
    assert [figure.met for figure in figures] == [True, None, None]
