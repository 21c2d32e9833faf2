"""What the api reads from its environment."""

import pytest

from engine_api.settings import ApiSettings
from engine_common.settings import SettingsError


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


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("http://localhost:3000", "http://localhost:3000"),
        ("HTTPS://Desk.Example", "https://desk.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("https://a.example:08443", "https://a.example:8443"),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("http://under_score.example", "http://under_score.example"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(monkeypatch: pytest.MonkeyPatch, entry: str, origin: str) -> None:
    """In lower case, and without the port that the scheme implies."""
    monkeypatch.setenv("ALLOWED_ORIGINS", f"{entry},{entry}")
    assert ApiSettings.load().allowed_origins == (origin,)


@pytest.mark.parametrize(
    ("entry", "instead"),
    [
        ("localhost:3000", "write https://localhost:3000 or http://localhost:3000"),
        ("desk.example", "write https://desk.example"),
        ("//desk.example", "without a scheme"),
        ("https://desk.example/", "write https://desk.example, not"),
        ("https://Desk.example:443/app?x#y", "write https://desk.example, not"),
        ("https://desk.example?x", "write https://desk.example, not"),
        ("null", "the page's own origin"),
        ("https://*.example", "list each origin"),
        ("https://desk.example:*", "list each origin"),
        ("https://user:secret@desk.example", "scheme, host and port only"),
        ("wss://desk.example", "write https://desk.example"),
        ("file:///home", "serve them by http"),
        ("https://", "host is none"),
        ("https://a b.example", "host is none"),
        ("https://a..example", "host is none"),
        ("https://desk.example:", "port is not a number from 1 to 65535"),
        ("https://desk.example:http", "port is not a number from 1 to 65535"),
        ("https://desk.example:0", "port is not a number from 1 to 65535"),
        ("https://desk.example:65536", "port is not a number from 1 to 65535"),
        ("https://desk.example:\uff18\uff10", "port is not a number from 1 to 65535"),
        ("http://[::1", "host is none"),
        ("http://[::g]", "IPv6 address is none"),
        ("https://m\u00fcnchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_an_entry_that_could_match_no_page_is_refused_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, entry: str, instead: str
) -> None:
    """Instead of a page that is refused later, when nobody thinks of the setting."""
    monkeypatch.setenv("ALLOWED_ORIGINS", f"https://a.example,{entry}")
    with pytest.raises(SettingsError) as raised:
        ApiSettings.load()
    (sentence,) = raised.value.problems
    assert sentence.startswith("ALLOWED_ORIGINS has ")
    assert instead in sentence


@pytest.mark.parametrize(("patience_s", "finished_s"), [(2.0, 5), (8, 17), (7.3, 16)])
def test_a_stopping_process_gives_requests_as_long_as_they_may_wait(patience_s: float, finished_s: int) -> None:
    """One that cancels an order reads it first."""
    assert ApiSettings(database_patience_s=patience_s).finish_within_s == finished_s
