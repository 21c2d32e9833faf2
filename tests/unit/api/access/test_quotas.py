"""How limits are written."""

import pytest

from engine_api.access.quotas import parse_limits


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("100/second", [(100, 1)]),
        ("5 per 10 minutes", [(5, 600)]),
        ("10/second;100/minute", [(10, 1), (100, 60)]),
        ("off", []),
        (" OFF ", []),
    ],
)
def test_limits_are_read_in_the_usual_notation(text: str, limits: list[tuple[int, int]]) -> None:
    """Several are separated by semicolons."""
    assert [(item.amount, item.get_expiry()) for item in parse_limits(text)] == limits


@pytest.mark.parametrize("text", ["", "many", "0/second", "10", "10/fortnight", "10/second;", "-1/second"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    """A limit of nothing would be a way to switch an api off by mistake."""
    with pytest.raises(ValueError, match="must be `off`, or limits such as"):
        parse_limits(text)
