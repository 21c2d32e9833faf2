"""Secrets from files: NAME_FILE in place of NAME."""

import os
from pathlib import Path

import pytest

from engine_common.secret_files import read_secret_file
from engine_common.settings import BackendSettings, SettingsError
from engine_worker.settings import WorkerSettings
from mockdex.settings import MockdexSettings

URL = "postgresql://engine:s3cret-of-the-file@db/engine"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DATABASE", "REDIS", "DEX", "ENGINE", "MOCK", "ENV", "METRICS")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_holds_the_value_without_its_last_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """As kubectl and echo write it."""
    (tmp_path / "url").write_text(URL + end, newline="")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert BackendSettings.load().database_url == URL


def test_every_setting_that_may_hold_a_secret_is_read_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the worker and of the mock DEX."""
    values = {
        "DATABASE_URL": URL,
        "REDIS_URL": "redis://:pw@cache/0",
        "DEX_URL": "https://dex/?api-key=k",
        "DEX_FALLBACK_URL": "https://archive/?api-key=k",
        "ENGINE_WALLET_KEY": "a key",
        "MOCK_DEX_ADMIN_TOKEN": "a token",
    }
    for name, value in values.items():
        (tmp_path / name).write_text(value)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    worker = WorkerSettings.load()
    assert (worker.database_url, worker.redis_url) == (URL, values["REDIS_URL"])
    assert (worker.dex_url, worker.dex_fallback_url) == (values["DEX_URL"], values["DEX_FALLBACK_URL"])
    assert worker.engine_wallet_key.get_secret_value() == "a key"
    token = MockdexSettings.load().mock_dex_admin_token
    assert token is not None
    assert token.get_secret_value() == "a token"


def test_a_value_and_a_file_at_once_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one counts would be anybody's guess."""
    (tmp_path / "url").write_text(URL)
    monkeypatch.setenv("DATABASE_URL", "postgresql://other/db")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match=r"^DATABASE_URL and DATABASE_URL_FILE are both set: unset one\.$"):
        BackendSettings.load()


def test_what_the_file_holds_is_judged_and_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it stood in the variable."""
    (tmp_path / "url").write_text("mysql://engine:s3cret-of-the-file@db/engine")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="DATABASE_URL must be a URL that begins with postgresql://") as raised:
        BackendSettings.load()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """With its variable, its path and what to do."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the sentence is what is tested
        read_secret_file("REDIS_URL_FILE", str(path))
    assert str(raised.value).startswith(f"REDIS_URL_FILE: {path} ")
    assert reason in str(raised.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """A mount without a sub-path is one."""
    with pytest.raises(ValueError, match="is a directory: name the file that holds the value"):
        read_secret_file("DEX_URL_FILE", str(tmp_path))
