"""The table of values is made of the comments in values.yaml."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from chart.rendering import ROOT


@pytest.fixture
def chart_values() -> Any:
    spec = importlib.util.spec_from_file_location("chart_values", ROOT / "scripts/chart_values.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_value_is_described_by_the_comment_above_it(chart_values: Any, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        "# Of the file\n\na:\n  # What b does\n  b: 3\n  # And c,\n  # in two lines\n  c: {d: [1]}\ne: ''\n"
    )
    with pytest.raises(ValueError, match="e has no comment"):
        chart_values.values_table(values)
    values.write_text(values.read_text().replace("e: ''", "# What e does\ne: ''"))
    assert chart_values.values_table(values).splitlines()[2:] == [
        "| `a.b` | `3` | What b does |",
        '| `a.c` | `{"d": [1]}` | And c, in two lines |',
        "| `e` | unset | What e does |",
    ]
