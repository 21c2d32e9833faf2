"""What the chain tells about itself, observed when somebody collects it and at no other time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

from engine_common.telemetry.metrics import meter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mockdex.chain import Chain


def watch(chain: Chain) -> None:
    """Observe a chain from now on."""

    def in_flight(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(len(chain.in_flight))]

    def landed(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(chain.landed_count)]

    def height(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(chain.height)]

    instruments = meter()
    instruments.create_observable_gauge("mockdex.transactions.in_flight", [in_flight], description="Not landed yet")
    instruments.create_observable_counter("mockdex.transactions.landed", [landed], description="Failed ones included")
    instruments.create_observable_gauge("mockdex.block.height", [height], description="The reported block height")
