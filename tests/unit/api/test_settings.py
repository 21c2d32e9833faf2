"""What the api reads from its environment."""

import pytest

from engine_api.settings import ApiSettings


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example, https://b.example,", ("https://a.example", "https://b.example")),
        ("*", ("*",)),
    ],
)
def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]) -> None:
    """As people write them."""
    monkeypatch.setenv("ALLOWED_ORIGINS", value)
    assert ApiSettings.load().allowed_origins == origins
