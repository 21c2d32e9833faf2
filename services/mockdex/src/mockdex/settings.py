"""What the mock reads from its environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, Field, SecretStr, create_model

from engine_common.settings import Settings
from mockdex.tuning import NAMES, Tuning

if TYPE_CHECKING:
    from mockdex.tuning import Value

_PREFIX = "mock_dex_"
_ALIASES = {"failure_rate": "mock_fail_rate"}


class ProcessSettings(Settings):
    """Where it listens, where it keeps its chain, and how the chain ticks."""

    mockdex_host: str = Field("127.0.0.1", description="address to listen on")
    mockdex_port: int = Field(4000, ge=0, le=65535, description="port to listen on; 0: a free one, named in the log")
    mock_dex_seed: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="reproduces prices, latencies and faults; unset: the data directory's, or random",
    )
    mock_dex_data_dir: Path | None = Field(
        None, description="directory of the chain, which survives restarts; unset: a temporary one"
    )
    mock_dex_admin_token: SecretStr | None = Field(
        None,
        description="bearer token of `/admin`; unset: there is no `/admin`; refused in production",
        json_schema_extra={"secret_file": True},
    )
    mock_dex_block_ms: int = Field(400, ge=1, le=3_600_000, description="ms from block to block")
    mock_dex_valid_blocks: int = Field(
        151, ge=1, le=10_000, description="how many blockhashes a transaction is valid for"
    )

    def unfit_for_production(self) -> list[str]:
        """Add what is open that production has no use for."""
        reasons = super().unfit_for_production()
        if self.mock_dex_admin_token is not None:
            reasons.append(
                "MOCK_DEX_ADMIN_TOKEN must not be set when ENV=production: it opens /admin, which changes prices, "
                "delays and faults at run time."
            )
        return reasons

    def tuning(self) -> Tuning:
        """Return latencies and faults as set."""
        values: dict[str, Value | None] = {name: getattr(self, _PREFIX + name) for name in NAMES}
        return Tuning(values)


def _knob_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, (knob, venue) in NAMES.items():
        alias = _ALIASES.get(name)
        field = Field(
            None if venue else knob.default,
            description=f"the same at {venue} only" if venue else knob.meaning,
            validation_alias=AliasChoices(_PREFIX + name, alias) if alias else None,
        )
        fields[_PREFIX + name] = (knob.kind | None if venue else knob.kind, field)
    return fields


MockdexSettings = create_model("MockdexSettings", __base__=ProcessSettings, **_knob_fields())
MockdexSettings.__doc__ = "All settings: those of the process and every knob of `mockdex.tuning`."
