"""What the api reads from its environment."""

import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator
from pydantic_settings import NoDecode

from engine_api.access.key_file import read_key_file
from engine_api.access.keys import Digests, parse_plain
from engine_api.access.origins import parse_origins
from engine_api.access.quotas import parse_limits
from engine_common.settings import BackendSettings


def _origins(value: Any) -> tuple[str, ...]:
    return parse_origins(value if isinstance(value, str) else ",".join(value))


def _readable(path: Path) -> Path:
    read_key_file(path)
    return path


def _limits(text: str) -> str:
    parse_limits(text)
    return text


def _digests(value: Any) -> Digests:
    return parse_plain(value) if isinstance(value, str) else value


RateLimit = Annotated[str, AfterValidator(_limits)]


class ApiSettings(BackendSettings):
    """The api's settings."""

    api_host: str = Field(default="127.0.0.1", description="address the api listens on")
    api_port: int = Field(default=3000, ge=0, le=65535, description="port the api listens on")
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        default=(),
        description="origins (scheme, host, optional port), separated by commas, whose pages may use the api from a "
        "browser; `*` allows every origin",
    )
    engine_max_unfinished: int = Field(
        default=200_000,
        ge=1,
        le=10_000_000,
        description="orders from `queued` to `submitted` beyond which no more are taken: creating answers 503",
    )
    engine_max_pending_per_account: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="`pending` orders of one account beyond which no more are taken: `POST /api/orders` answers 429",
    )
    api_keys_file: Annotated[Path, AfterValidator(_readable)] | None = Field(
        default=None,
        description="file of API keys, one `ACCOUNT:SHA256` a line, read again when it changes; unset: none is needed",
        json_schema_extra={"required_in_production": True},
    )
    api_keys: Annotated[Digests, NoDecode, PlainValidator(_digests)] | None = Field(
        default=None, repr=False, description="for development instead of the file: `ACCOUNT:KEY,ACCOUNT:KEY`"
    )
    rate_limit_reads: RateLimit = Field(
        default="200/second",
        description="requests that only read, and sockets opened, of one API key; several separated by `;`; `off`: any "
        "number. Callers without keys are not limited",
    )
    rate_limit_writes: RateLimit = Field(
        default="100/second", description="requests that create or change orders, of one API key; as for reads"
    )
    client_patience_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="seconds that a client may take for the head of a request, for its body, and for the first message "
        "of a WebSocket that awaits one",
    )
    database_patience_s: float = Field(
        default=2.0,
        gt=0,
        le=15,
        description="seconds after which a request is answered 503 because PostgreSQL does not answer; one that has to "
        "read before it writes waits for each",
    )
    access_log: bool = Field(
        default=True,
        description="whether each request, but for the probes, and each WebSocket is logged at `info`",
    )
    max_sockets_per_account: int = Field(
        default=2500, ge=1, le=100_000, description="WebSockets of one account that one api process keeps open"
    )

    @property
    def finish_within_s(self) -> int:
        """Seconds that requests under way have when the process stops: one may read, write, and then answers."""
        return math.ceil(2 * self.database_patience_s) + 1

    def unfit_for_production(self) -> list[str]:
        """Add what is wrong with the keys."""
        reasons = super().unfit_for_production()
        if self.api_keys is not None:
            reasons.append("API_KEYS is for development: unset it when ENV=production, and use API_KEYS_FILE.")
        if self.api_keys_file is not None and not read_key_file(self.api_keys_file):
            reasons.append("API_KEYS_FILE holds no key: add a line ACCOUNT:SHA256, or nobody can come in.")
        return reasons

    @model_validator(mode="after")
    def _keys_come_from_one_place(self) -> Self:
        if self.api_keys is not None and self.api_keys_file is not None:
            raise ValueError("API_KEYS and API_KEYS_FILE are both set: unset one")
        return self
