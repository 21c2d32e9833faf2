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


@pytest.mark.parametrize(("patience_s", "finished_s"), [(2.0, 5), (8, 17), (7.3, 16)])
def test_a_stopping_process_gives_requests_as_long_as_they_may_wait(patience_s: float, finished_s: int) -> None:
    """One that cancels an order reads it first."""
    assert ApiSettings(database_patience_s=patience_s).finish_within_s == finished_s
