"""What the commands of devstack read from the environment; all other variables pass through to the services."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from engine_common.settings import DatabaseUrl, HttpUrl, RedisUrl, Settings

_API_PORT_STEP = 100
_HIGHEST_PORT = 65535
_SECRET: JsonDict = {"secret_file": True}


class StackSettings(Settings):
    """How large a stack is, where it lies and what it serves where."""

    stack_dir: Path = Field(Path(".stack"), description="directory of the stack: data, logs, run")
    api_host: str = Field("127.0.0.1", description="address the api listens on")
    api_port: int = Field(3000, ge=1, le=_HIGHEST_PORT, description="port of the api; further ones on + 100, + 200, …")
    mockdex_host: str = Field("127.0.0.1", description="address the mock DEX listens on")
    mockdex_port: int = Field(4000, ge=1, le=_HIGHEST_PORT, description="port of the mock DEX")
    apis: int = Field(1, ge=1, le=50, description="number of api processes")
    workers: int = Field(1, ge=0, le=50, description="number of worker processes")
    database_url: DatabaseUrl | None = Field(
        None, description="a PostgreSQL to use instead of starting one", json_schema_extra=_SECRET
    )
    redis_url: RedisUrl | None = Field(
        None, description="a Redis or Valkey to use instead of starting one", json_schema_extra=_SECRET
    )
    dex_url: HttpUrl | None = Field(
        None, description="the DEX that workers trade on, instead of the stack's own", json_schema_extra=_SECRET
    )
    mock_dex_admin_token: str | None = Field(
        None, description="token of the mock DEX's administration", json_schema_extra=_SECRET
    )
    mock_dex_data_dir: Path | None = Field(None, description="where the mock DEX keeps its ledger")
    engine_wallet_key: str | None = Field(
        None, description="signing key of the workers, base58", json_schema_extra=_SECRET
    )

    @property
    def api_ports(self) -> list[int]:
        """The port of every api process."""
        return [self.api_port + index * _API_PORT_STEP for index in range(self.apis)]

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.mockdex_port in self.api_ports:
            raise ValueError(f"API_PORT, APIS and MOCKDEX_PORT give port {self.mockdex_port} to two processes")
        if self.api_ports[-1] > _HIGHEST_PORT:
            raise ValueError(f"API_PORT and APIS ask for port {self.api_ports[-1]}, beyond {_HIGHEST_PORT}")
        return self
