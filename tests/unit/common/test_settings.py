"""Settings come from the environment, and what is wrong with it is said in sentences."""

import pytest
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from engine_common.settings import DatabaseUrl, Settings, SettingsError, load_or_exit, settings_table


class Example(Settings):
    """A service's settings, with one field of each kind."""

    database_url: str = Field(
        default="postgresql://dev:dev@localhost/dev",
        description="PostgreSQL",
        json_schema_extra={"required_in_production": True},
    )
    wallet_key: SecretStr = Field(description="the signing key | base58")
    max_in_flight: int = Field(default=1000, ge=1, description="orders at once")
    fail_rate: float = Field(
        default=0.1, ge=0, le=1, validation_alias=AliasChoices("MOCK_FAIL_RATE", "MOCKDEX_FAIL_RATE")
    )
    host: str = Field(default="127.0.0.1", validation_alias="MOCKDEX_HOST")
    strict: bool = Field(default=False)
    prices: list[float] = Field(default=[])

    @field_validator("host")
    @classmethod
    def _one_word(cls, value: str) -> str:
        if " " in value:
            raise ValueError("must be a host name without blanks")
        return value

    @model_validator(mode="after")
    def _strict_means_few(self) -> "Example":
        if self.strict and self.max_in_flight > 10:
            raise ValueError("STRICT allows a MAX_IN_FLIGHT of 10 at most")
        return self


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what every test needs."""
    for name in ("ENV", "LOG_LEVEL", "LOG_FORMAT", "METRICS_PORT", "DATABASE_URL", "HOST", "STRICT", "PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WALLET_KEY", "5JueXZhcnppz")


def problems(cls: type[Settings] = Example) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        cls.load()
    return raised.value.problems


def test_variables_are_field_names_in_upper_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_IN_FLIGHT sets max_in_flight."""
    monkeypatch.setenv("MAX_IN_FLIGHT", "7")
    assert Example.load().max_in_flight == 7


@pytest.mark.parametrize("variable", ["MOCK_FAIL_RATE", "MOCKDEX_FAIL_RATE"])
def test_each_alias_sets_the_field(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field with several variables takes the value of any of them."""
    monkeypatch.setenv(variable, "0.5")
    assert Example.load().fail_rate == 0.5


def test_a_field_with_an_alias_does_not_read_its_bare_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A HOST that a shell happens to set is not MOCKDEX_HOST."""
    monkeypatch.setenv("HOST", "somewhere-else")
    assert Example.load().host == "127.0.0.1"


def test_fields_can_be_given_by_name_in_code() -> None:
    """Tests build settings without an environment, even of fields with an alias."""
    assert Example(fail_rate=0.25, wallet_key=SecretStr("k")).fail_rate == 0.25


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """METRICS_PORT= leaves the metrics off."""
    monkeypatch.setenv("METRICS_PORT", "")
    assert Example.load().metrics_port is None


def test_the_log_level_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOG_LEVEL=DEBUG is what many people type."""
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert Example.load().log_level == "debug"


@pytest.mark.parametrize(
    ("variable", "value", "start"),
    [
        ("METRICS_PORT", "abc", "METRICS_PORT must be a whole number, not 'abc': correct it, or unset it"),
        ("METRICS_PORT", "70000", "METRICS_PORT must be less than or equal to 65535, not '70000': "),
        ("MOCKDEX_FAIL_RATE", "often", "MOCK_FAIL_RATE must be a number, not 'often': "),
        ("MOCK_FAIL_RATE", "2", "MOCK_FAIL_RATE must be less than or equal to 1, not '2': "),
        ("STRICT", "perhaps", "STRICT must be true or false, not 'perhaps': "),
        ("ENV", "prod", "ENV must be development or production, not 'prod': "),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be debug, info, warning, error or critical, not 'loud': "),
        ("MOCKDEX_HOST", "a b", "MOCKDEX_HOST must be a host name without blanks, not 'a b': "),
        ("PRICES", "1,2", "PRICES must be valid JSON: "),
        ("STRICT", "true", "STRICT allows a MAX_IN_FLIGHT of 10 at most."),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_variable(
    variable: str, value: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong, where, and what to do."""
    monkeypatch.setenv(variable, value)
    (sentence,) = problems()
    assert sentence.startswith(start)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to start the process once for each mistake."""
    monkeypatch.setenv("METRICS_PORT", "abc")
    monkeypatch.setenv("ENV", "prod")
    monkeypatch.delenv("WALLET_KEY")
    assert [sentence.split()[0] for sentence in problems()] == ["ENV", "METRICS_PORT", "WALLET_KEY"]


def test_a_missing_variable_is_told_with_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what the variable is for."""
    monkeypatch.delenv("WALLET_KEY")
    assert problems() == ["WALLET_KEY is not set: set it (the signing key | base58)."]


class Secretive(Settings):
    """Settings whose values nobody should see."""

    database_url: str = Field(default="postgresql://localhost", pattern="^postgresql://")
    signing_key: SecretStr = Field(default=SecretStr(""), max_length=3)


@pytest.mark.parametrize(
    ("variable", "value"), [("DATABASE_URL", "mysql://user:hunter2@host/db"), ("SIGNING_KEY", "hunter2")]
)
def test_no_sentence_repeats_a_secret(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address or key is named, not shown."""
    monkeypatch.setenv(variable, value)
    (sentence,) = problems(Secretive)
    assert sentence.startswith(variable)
    assert "hunter2" not in sentence


def test_production_refuses_development_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is required in production has to be set there."""
    monkeypatch.setenv("ENV", "production")
    assert problems() == ["DATABASE_URL must be set when ENV=production: its default suits development only."]
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/engine")
    assert Example.load().development_defaults() == []


def test_development_names_the_defaults_it_runs_on() -> None:
    """A start can warn of what production would refuse."""
    assert Example.load().development_defaults() == ["DATABASE_URL"]


def test_load_or_exit_prints_the_sentences_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person sees the sentence on stderr and no traceback."""
    monkeypatch.setenv("METRICS_PORT", "abc")
    with pytest.raises(SystemExit) as exited:
        load_or_exit(Example)
    assert exited.value.code == 2
    assert capsys.readouterr().err.startswith("METRICS_PORT must be a whole number, not 'abc'")


def test_the_table_has_each_variable_once_with_default_and_meaning() -> None:
    """Settings that several services share stand in the table once."""
    table = settings_table(Example, Secretive).splitlines()
    assert table[0] == "| variable | default | meaning | required in production |"
    assert "| `DATABASE_URL` | `postgresql://dev:dev@localhost/dev` | PostgreSQL | yes |" in table
    assert "| `WALLET_KEY` | required | the signing key \\| base58 | yes |" in table
    assert "| `MOCK_FAIL_RATE` | `0.1` | (also `MOCKDEX_FAIL_RATE`) |  |" in table
    assert "| `STRICT` | `false` |  |  |" in table
    assert [row.split("`")[1] for row in table[2:]].count("DATABASE_URL") == 1
    assert sum(row.startswith("| `METRICS_PORT` | unset |") for row in table) == 1


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("postgresql://engine:hidden@db:5432/engine", True),
        ("postgres://db/engine", True),
        ("foo", False),
        ("postgresql://", False),
        ("mysql://engine:hidden@db/engine", False),
    ],
)
def test_a_database_url_is_a_url_of_postgresql(url: str, accepted: bool) -> None:
    """Found wrong at the start by the variable's name, not by a driver in the middle of it; passwords stay hidden."""

    class Service(Settings):
        database_url: DatabaseUrl = "postgresql://default/db"

    if accepted:
        assert Service(database_url=url).database_url == url
        return
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", url)
        with pytest.raises(SettingsError) as refused:
            Service.load()
    assert str(refused.value).startswith("DATABASE_URL must be a URL that begins with postgresql://")
    assert "hidden" not in str(refused.value)
