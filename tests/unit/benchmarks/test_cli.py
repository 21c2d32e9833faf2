import pytest
from benchmarks.cli import app
from typer.testing import CliRunner


def test_the_menu_names_every_scenario() -> None:
    """`python -m benchmarks` alone says what there is."""
    output = CliRunner().invoke(app, ["--help"]).output
    for name in ("throughput", "acceptance", "settle", "idle", "burst", "all"):
        assert name in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "http://127.0.0.1:3000", "idle"],
        ["throughput", "--seconds", "100000"],
        ["burst", "--orders", "10000000"],
        ["--connections", "0", "settle"],
    ],
)
def test_everything_is_bounded(arguments: list[str]) -> None:
    """A mistyped number must not occupy the machine for a day; an address alone does not say what to measure."""
    assert CliRunner().invoke(app, arguments).exit_code == 2
