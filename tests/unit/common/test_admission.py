"""What ENV=production refuses to start with, each refusal naming the variable."""

import pytest

from engine_common.settings import BackendSettings, DatabaseSettings, Settings, SettingsError

GOOD_DATABASE = "postgresql://engine:aV3ry-0wn-0ne@db.example/engine?sslmode=verify-full"
GOOD_REDIS = "redis://:an0ther-0ne@redis.example:6379/0"


@pytest.fixture(autouse=True)
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is as production wants it, but for what a test changes."""
    for name in ("ALLOW_PLAINTEXT_DATABASE", "PGHOST", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENV", "production")
    monkeypatch.setenv("DATABASE_URL", GOOD_DATABASE)
    monkeypatch.setenv("REDIS_URL", GOOD_REDIS)


def refusals(cls: type[Settings] = BackendSettings) -> list[str]:
    try:
        cls.load()
    except SettingsError as error:
        return error.problems
    return []


def test_a_production_environment_starts() -> None:
    """With credentials of its own and an encrypted database."""
    assert refusals() == []


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_servers_must_be_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Nobody's production is what happens to run on this machine."""
    monkeypatch.delenv(variable)
    assert refusals() == [f"{variable} must be set when ENV=production: its default suits development only."]


@pytest.mark.parametrize("credentials", ["postgres:postgres", "engine:engine", "engine:password", "engine:Changeme"])
def test_default_credentials_of_the_database_are_refused(monkeypatch: pytest.MonkeyPatch, credentials: str) -> None:
    """The variable is named, the password is not repeated."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{credentials}@db.example/engine?sslmode=require")
    (sentence,) = refusals(DatabaseSettings)
    assert sentence.startswith("DATABASE_URL has a password that everybody knows")
    assert credentials not in sentence


@pytest.mark.parametrize(
    "url", ["redis://:redis@cache/0", "rediss://default:default@cache", "redis://:%70assword@cache"]
)
def test_default_credentials_of_redis_are_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """However they are spelled."""
    monkeypatch.setenv("REDIS_URL", url)
    (sentence,) = refusals()
    assert sentence.startswith("REDIS_URL has a password that everybody knows")


@pytest.mark.parametrize(
    "address",
    [
        "db.example/engine",
        "db.example/engine?sslmode=disable",
        "db.example/engine?sslmode=prefer",
        "10.0.0.7:5433/engine?sslmode=allow",
        "localhost,db.example/engine",
        "/engine?host=db.example",
        "localhost/engine?hostaddr=10.0.0.7",
        "127.evil.example/engine",
    ],
)
def test_a_remote_database_without_tls_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The sentence says both what to add and what to set instead."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://engine:aV3ry-0wn-0ne@{address}")
    (sentence,) = refusals()
    assert sentence.startswith("DATABASE_URL names a remote database without TLS")
    assert "sslmode=verify-full" in sentence
    assert "ALLOW_PLAINTEXT_DATABASE=true" in sentence
    monkeypatch.setenv("ALLOW_PLAINTEXT_DATABASE", "true")
    assert refusals() == []


@pytest.mark.parametrize(
    "address", ["localhost/engine", "127.0.0.1:6543/engine", "[::1]/engine", "/engine?host=/run/postgresql", "/engine"]
)
def test_a_database_on_this_machine_needs_no_tls(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Nothing travels."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://engine@{address}")
    assert refusals() == []


def test_what_the_url_leaves_out_is_judged_as_libpq_fills_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variables can make a URL unfit, and fit."""
    monkeypatch.setenv("DATABASE_URL", "postgresql:///engine")
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGPASSWORD", "postgres")
    credentials, plaintext = refusals()
    assert "password that everybody knows" in credentials
    assert "without TLS" in plaintext
    monkeypatch.setenv("PGPASSWORD", "aV3ry-0wn-0ne")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert refusals() == []


def test_a_service_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says could change behind the admission's back."""
    monkeypatch.setenv("DATABASE_URL", "postgresql:///engine?service=prod")
    (sentence,) = refusals()
    assert sentence.startswith("DATABASE_URL (or PGSERVICE) names a service file")


def test_a_url_that_cannot_be_read_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold a password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://engine:hunter2@db?sslmode")
    (sentence,) = refusals()
    assert sentence.startswith("DATABASE_URL is not a URL")
    assert "hunter2" not in sentence


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one start after the other."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:postgres@db.example/engine")
    monkeypatch.setenv("REDIS_URL", "redis://:redis@cache")
    assert [sentence.split(" ", 1)[0] for sentence in refusals()] == ["DATABASE_URL", "DATABASE_URL", "REDIS_URL"]


def test_development_starts_with_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for development."""
    monkeypatch.setenv("ENV", "development")
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:postgres@db.example/engine")
    assert refusals() == []
