"""Latency and faults, as data: what can be set by environment and changed at run time, for all venues or for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, create_model

from mockdex.curves import VENUES

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = int | float | bool | str
DelayMs = Annotated[int, Field(ge=0, le=600_000)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
BodyBytes = Annotated[int, Field(ge=1, le=16 * 1024 * 1024)]
Calls = Annotated[int, Field(ge=0, le=512)]
PerSecond = Annotated[int, Field(ge=0, le=1_000_000)]
Key = Annotated[str, Field(max_length=200, pattern="^[!-~]*$")]


class Knob(NamedTuple):
    """Something to turn."""

    name: str
    kind: Any
    default: Value
    meaning: str
    per_venue: bool = True


KNOBS = (
    Knob("quote_delay_ms", DelayMs, 200, "quote latency in ms, +-20 %; 0: none and no jitter"),
    Knob("execution_delay_ms", DelayMs, 2500, "ms from accepted to landed, +-20 %; 0: none and no jitter"),
    Knob("failure_rate", Rate, 0.05, "share of swaps that land with custom error 6000"),
    Knob("force_fail", bool, False, "every swap lands with custom error 6000"),
    Knob("quote_error_rate", Rate, 0.0, "share of quotes answered with HTTP 500"),
    Knob("quote_timeout_rate", Rate, 0.0, "share of quotes that are held back for 10 s, then answered with HTTP 504"),
    Knob("rate_limit_rate", Rate, 0.0, "share of quotes, and without a venue also of RPC requests, answered with 429"),
    Knob("no_liquidity_rate", Rate, 0.0, "share of quotes answered with insufficient liquidity"),
    Knob("drop_rate", Rate, 0.0, "share of sends that are answered and forgotten, drawn per send"),
    Knob("never_lands_rate", Rate, 0.0, "share of accepted transactions that never land"),
    Knob(
        "late_landing_rate", Rate, 0.0, "share of accepted transactions that land in the last quarter of their validity"
    ),
    Knob("reply_lost_rate", Rate, 0.0, "share of accepted sends that are not answered"),
    Knob(
        "stale_status_rate",
        Rate,
        0.0,
        "share of status requests answered by a node 1 to 20 slots behind",
        per_venue=False,
    ),
    Knob("rpc_error_rate", Rate, 0.0, "share of RPC requests answered with HTTP 503", per_venue=False),
    Knob(
        "rpc_max_body_bytes",
        BodyBytes,
        51_200,
        "larger RPC requests are answered with HTTP 413, as a stock validator does",
        per_venue=False,
    ),
    Knob(
        "rpc_max_batch",
        Calls,
        0,
        "arrays of more RPC calls are answered with HTTP 413; 0: no own limit; 1: arrays are answered with HTTP 400",
        per_venue=False,
    ),
    Knob(
        "rpc_rate_limit",
        PerSecond,
        0,
        "RPC requests a second above which HTTP 429 with Retry-After is answered; 0: any number",
        per_venue=False,
    ),
    Knob(
        "rpc_api_key",
        Key,
        "",
        "RPC requests without `?api-key=` and this key are answered with HTTP 401; empty: none is needed",
        per_venue=False,
    ),
    Knob(
        "transaction_pruned_rate",
        Rate,
        0.0,
        "share of landed transactions that `getTransaction` answers with null although their status is known",
        per_venue=False,
    ),
)
EVERYWHERE = ""


def _names() -> dict[str, tuple[Knob, str]]:
    """Name every knob, and every knob for each venue, in lower case without prefix."""
    names = {knob.name: (knob, EVERYWHERE) for knob in KNOBS}
    for knob in KNOBS:
        if knob.per_venue:
            names.update({f"{knob.name}_{venue.name}": (knob, venue.name) for venue in VENUES})
    return names


NAMES = _names()


def _adjustment() -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (knob.kind | None if venue else knob.kind, None) for name, (knob, venue) in NAMES.items()
    }
    return create_model("Adjustment", __config__=ConfigDict(extra="forbid", strict=True), **fields)


Adjustment = _adjustment()
"""What PATCH takes: any of the names; null for a venue's own value goes back to that of all venues."""


class Tuning:
    """The present values, resolved for each venue."""

    def __init__(self, values: Mapping[str, Value | None]) -> None:
        self._values: dict[str, Value | None] = dict.fromkeys(NAMES) | {knob.name: knob.default for knob in KNOBS}
        self._effective: dict[tuple[str, str], Value] = {}
        self.adjust(values)

    def adjust(self, changes: Mapping[str, Value | None]) -> None:
        """Set values by name; they must be valid."""
        self._values.update(changes)
        for knob in KNOBS:
            base = self._values[knob.name]
            assert base is not None  # noqa: S101 - only a venue's own value may be unset; for the type checker
            self._effective[knob.name, EVERYWHERE] = base
            for venue in VENUES if knob.per_venue else ():
                own = self._values[f"{knob.name}_{venue.name}"]
                self._effective[knob.name, venue.name] = base if own is None else own

    def values(self) -> dict[str, Value | None]:
        """Return every value by name; None where a venue has none of its own."""
        return dict(self._values)

    def value(self, knob: str, venue: str = EVERYWHERE) -> Value:
        """Return what holds at a venue."""
        return self._effective[knob, venue]
