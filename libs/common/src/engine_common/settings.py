"""Settings read from the environment, with errors a person can act on."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, cast, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BeforeValidator,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UndecodableValue

from engine_common import admission
from engine_common.http_address import HttpAddress
from engine_common.secret_files import SUFFIX, read_secret_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

S = TypeVar("S", bound="Settings")

_PLAIN_WORDS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}
# Values of such variables never appear in a message, whatever is wrong with them.
_SENSITIVE_NAME = re.compile(r"KEY|PASSWORD|SECRET|TOKEN|CREDENTIAL|DSN|URL|URI")


class SettingsError(SystemExit):
    """The environment does not describe a runnable process: one sentence for each bad or missing variable.

    A SystemExit, so that uncaught it ends the process with these sentences instead of a traceback.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _begins_with(*schemes: str) -> AfterValidator:
    """Return a validator of URLs; the value may hold a password, so it is not repeated."""

    def check(value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in schemes or not rest:
            raise ValueError(f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _names_a_database(value: str) -> str:
    """Refuse here what a client would refuse later, quoting it: what stands in a wrong place may be the password."""
    if not admission.has_only_numeric_ports(admission.parse_database_url(value)):
        raise ValueError(f"must have a number as port: {_ESCAPES}")
    return value


def _names_a_port(value: str) -> str:
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError(f"must have a number as port: {_ESCAPES}") from None
    return value


def _names_an_http_server(value: str) -> str:
    """Refuse at the start a URL that could not be honoured whole."""
    HttpAddress.parse(value)
    return value


_ESCAPES = "in a password, characters such as / # ? @ : are written as %2F %23 %3F %40 %3A"

DatabaseUrl = Annotated[str, _begins_with("postgresql", "postgres"), AfterValidator(_names_a_database)]
RedisUrl = Annotated[str, _begins_with("redis", "rediss", "unix"), AfterValidator(_names_a_port)]
HttpUrl = Annotated[str, _begins_with("http", "https"), AfterValidator(_names_an_http_server)]


class Settings(BaseSettings):
    """What every service reads: a variable is a field's name in upper case, and an empty one counts as unset."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", validate_by_name=True, frozen=True, allow_inf_nan=False
    )

    env: Literal["development", "production"] = Field(
        default="development", description="`production` refuses to start on defaults that suit development only"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)] = Field(
        default="info", description="least severe level that is logged"
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json`: one object a line; `console`: coloured lines for people"
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="port of `/livez`, `/readyz` and `/metrics`; unset: not served"
    )
    metrics_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the kubelet and Prometheus ask from outside the pod
        description="address that this port is served on; `::` takes IPv6 and IPv4",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment alone, and of it nothing that is not documented."""
        del dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            # `validate_by_name` is for tests; in the environment, a HOST set by a shell is not the MOCKDEX_HOST of a
            # field called host.
            documented = {
                variable.lower()
                for name, field in settings_cls.model_fields.items()
                for variable in variable_names(name, field)
            }
            env_settings.env_vars = {k: v for k, v in env_settings.env_vars.items() if k in documented}
            env_settings.env_vars |= {variable.lower(): value for variable, value in _from_files(settings_cls).items()}
        return init_settings, env_settings

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raise SettingsError naming every bad or missing variable."""
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError(_problems(cls, error)) from None
        except UndecodableValue as error:
            raise SettingsError([_undecodable(cls, error)]) from None
        if settings.env == "production" and (reasons := settings.unfit_for_production()):
            raise SettingsError(reasons)
        return settings

    def development_defaults(self) -> list[str]:
        """Name the variables left at a default that production would refuse."""
        return [
            variable_names(name, field)[0]
            for name, field in type(self).model_fields.items()
            if name not in self.model_fields_set and _required_in_production(field)
        ]

    def unfit_for_production(self) -> list[str]:
        """Say in a sentence for each variable, naming it, why a production start is refused; subclasses add theirs."""
        return [
            f"{name} must be set when ENV=production: its default suits development only."
            for name in self.development_defaults()
        ]


class DatabaseSettings(Settings):
    """What everything reads that stores orders."""

    database_url: DatabaseUrl = Field(
        default="postgresql://postgres@127.0.0.1:5432/postgres",
        description="PostgreSQL, as a URL; in production `sslmode=require` or stricter unless it is on this machine",
        json_schema_extra={"required_in_production": True, "secret_file": True},
    )
    allow_plaintext_database: bool = Field(
        default=False,
        description="with `ENV=production`, reach a remote PostgreSQL without TLS, because the network itself encrypts",
    )

    def unfit_for_production(self) -> list[str]:
        """Add what is wrong with the database."""
        return [*super().unfit_for_production(), *self._unfit_database()]

    def _unfit_database(self) -> Iterator[str]:
        if "database_url" not in self.model_fields_set:
            return
        database = admission.effective_database(self.database_url)
        if database.get("service"):
            yield "DATABASE_URL (or PGSERVICE) names a service file: write host, user and sslmode into the URL itself."
        if admission.is_well_known(database.get("user"), database.get("password")):
            yield "DATABASE_URL has a password that everybody knows: give the database one of its own."
        if admission.is_plaintext_and_remote(database) and not self.allow_plaintext_database:
            yield (
                "DATABASE_URL names a remote database without TLS: add sslmode=verify-full (or require), "
                "or set ALLOW_PLAINTEXT_DATABASE=true if the network itself encrypts."
            )


class BackendSettings(DatabaseSettings):
    """What every service reads that works with orders."""

    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="Redis or Valkey, as a URL",
        json_schema_extra={"required_in_production": True, "secret_file": True},
    )

    def unfit_for_production(self) -> list[str]:
        """Add what is wrong with Redis."""
        reasons = super().unfit_for_production()
        if admission.is_well_known(*admission.redis_credentials(self.redis_url)):
            reasons.append("REDIS_URL has a password that everybody knows: give Redis one of its own.")
        return reasons


def load_or_exit(cls: type[S]) -> S:
    """Load settings, or print what is wrong with the environment to stderr and exit with code 2."""
    try:
        return cls.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


def variable_names(name: str, field: FieldInfo) -> list[str]:
    """List the environment variables that set a field, the preferred one first."""
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [str(choice.path[0] if isinstance(choice, AliasPath) else choice).upper() for choice in choices]


def settings_table(*classes: type[Settings]) -> str:
    """Render the settings of the classes as one Markdown table, each variable once."""
    rows = ["| variable | default | meaning | required in production |", "| --- | --- | --- | --- |"]
    seen: set[str] = set()
    for cls in classes:
        for name, field in cls.model_fields.items():
            variable, *others = variable_names(name, field)
            if variable in seen:
                continue
            seen.add(variable)
            if _has(field, "secret_file"):
                others = [*others, f"{variable}{SUFFIX}: a file that holds it"]
            also = f"(also {', '.join(f'`{other}`' for other in others)})" if others else ""
            meaning = f"{field.description or ''} {also}".strip().replace("|", "\\|")
            required = field.is_required() or _required_in_production(field)
            rows.append(f"| `{variable}` | {_default_cell(field)} | {meaning} | {'yes' if required else ''} |")
    return "\n".join(rows) + "\n"


def _default_cell(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`".replace("|", "\\|")


def _required_in_production(field: FieldInfo) -> bool:
    return _has(field, "required_in_production")


def _has(field: FieldInfo, mark: str) -> bool:
    extra = cast("object", field.json_schema_extra)
    return isinstance(extra, dict) and bool(cast("dict[str, object]", extra).get(mark))


def _from_files(cls: type[BaseSettings]) -> dict[str, str]:
    """Return the values that the environment gives as files. Raises SettingsError."""
    secret = [variable_names(name, field)[0] for name, field in cls.model_fields.items() if _has(field, "secret_file")]
    values, problems = read_secret_files(secret, os.environ)
    if problems:
        raise SettingsError(problems)
    return values


def _problems(cls: type[Settings], error: ValidationError) -> list[str]:
    """Turn pydantic's errors into one sentence a variable."""
    sentences: dict[str, str] = {}
    for details in error.errors(include_url=False):
        where = str(details["loc"][0]) if details["loc"] else ""
        for variable, sentence in _sentence(cls, where, details):
            sentences.setdefault(variable, sentence)
    return list(sentences.values())


def _sentence(cls: type[Settings], where: str, details: ErrorDetails) -> Iterator[tuple[str, str]]:
    found = _field_at(cls, where)
    if found is None:  # a rule over several variables: its own message names them
        message = _message(details)
        yield message, f"{message[:1].upper()}{message[1:]}."
        return
    variable, field = found
    meaning = f" ({field.description})" if field.description else ""
    if details["type"] == "missing":
        yield variable, f"{variable} is not set: set it{meaning}."
        return
    remedy = "correct it" if field.is_required() else "correct it, or unset it to use the default"
    yield variable, f"{variable} {_message(details)}{_echo(variable, field, details['input'])}: {remedy}{meaning}."


def _field_at(cls: type[Settings], where: str) -> tuple[str, FieldInfo] | None:
    for name, field in cls.model_fields.items():
        variables = variable_names(name, field)
        if where.upper() in (name.upper(), *variables):
            return variables[0], field
    return None


def _message(details: ErrorDetails) -> str:
    if plain := _PLAIN_WORDS.get(details["type"]):
        return plain
    raised = details.get("ctx", {}).get("error")
    if isinstance(raised, Exception):  # from a validator of ours
        return str(raised).rstrip(".")
    return details["msg"].split(", unable")[0].replace("Input should", "must").replace("'", "")


def _echo(variable: str, field: FieldInfo, value: object) -> str:
    """Repeat the value where that helps and cannot leak a secret."""
    secret = _SENSITIVE_NAME.search(variable) or any(
        kind in (SecretStr, SecretBytes) for kind in (field.annotation, *get_args(field.annotation))
    )
    return "" if secret or not isinstance(value, (str, int, float)) else f", not '{value}'"


def _undecodable(cls: type[Settings], error: Exception) -> str:
    named = re.search(r'field "(\w+)"', str(error))
    found = _field_at(cls, named.group(1)) if named else None
    return f"{found[0] if found else 'A variable'} must be valid JSON: correct it, or unset it to use the default."
