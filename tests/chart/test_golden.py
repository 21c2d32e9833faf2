"""What the chart renders is what was looked at."""

import pytest

from chart.golden import DIRECTORY, GOLDEN, rendered

pytestmark = pytest.mark.helm


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_rendered_is_what_was_looked_at(name: str) -> None:
    """`make golden` writes it anew; look at the difference."""
    assert rendered(name) == (DIRECTORY / name).read_text()
