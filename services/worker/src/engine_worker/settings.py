"""What the worker reads from its environment."""

from pydantic import Field, SecretStr

from engine_common.settings import BackendSettings, HttpUrl


class WorkerSettings(BackendSettings):
    """The worker's settings."""

    dex_url: HttpUrl = Field(
        default="http://127.0.0.1:4000",
        description="venues and chain, as a URL",
        json_schema_extra={"required_in_production": True, "secret_file": True},
    )
    dex_fallback_url: HttpUrl | None = Field(
        default=None,
        description="a second node, as a URL, that is asked for a landed transaction that the first one does not show; "
        "it should keep the whole history",
        json_schema_extra={"secret_file": True},
    )
    engine_wallet_key: SecretStr = Field(
        description="signing key of the engine's wallet: a base58 keypair of 64 bytes, as Solana's tools write it",
        json_schema_extra={"secret_file": True},
    )
    engine_max_in_flight: int = Field(
        default=1000, ge=1, le=100_000, description="orders that one worker process carries at once"
    )
    engine_max_attempts: int = Field(
        default=3, ge=1, le=100, description="attempts of an order; 1 is the strictest lifecycle: any error is final"
    )
    engine_retry_base_ms: int = Field(
        default=500,
        ge=0,
        le=3_600_000,
        description="ms of pause after the first failed attempt; doubles with each further one",
    )
    engine_dex_patience_s: float = Field(
        default=30, ge=0, le=86_400, description="how long an order waits for venues or chain that do not answer"
    )
    engine_lease_s: float = Field(
        # Hearts beat once a second, and two beats must be missed before anybody is taken for dead.
        default=5,
        ge=3,
        le=600,
        description="seconds without a heartbeat after which a worker's orders are taken over, at least 3",
    )
    engine_drain_s: float = Field(
        default=5, ge=0, le=3600, description="how long a stopping worker goes on with the orders it carries"
    )

    @property
    def patience_s(self) -> float:
        """The patience in force: in the strictest lifecycle there is none."""
        return 0.0 if self.engine_max_attempts == 1 else self.engine_dex_patience_s
