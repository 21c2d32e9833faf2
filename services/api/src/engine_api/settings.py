"""What the api reads from its environment."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from engine_common.settings import BackendSettings


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class ApiSettings(BackendSettings):
    """The api's settings."""

    api_host: str = Field(default="127.0.0.1", description="address the api listens on")
    api_port: int = Field(default=3000, ge=0, le=65535, description="port the api listens on")
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        description="origins, separated by commas, whose pages may use the api from a browser; `*` allows every origin",
    )
    engine_max_unfinished: int = Field(
        default=200_000,
        ge=1,
        description="orders from `queued` to `submitted` beyond which no more are taken: creating answers 503",
    )
