"""The mock DEX put together: markets, faults and a chain that goes on from what is stored."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Self

import orjson

from engine_common.telemetry.logs import log
from mockdex.blocks import GENESIS_HEIGHT, Blockhashes, ChainTime, monotonic_ms, slot_of
from mockdex.chain import Chain, InFlight
from mockdex.driver import Driver
from mockdex.faults import Faults
from mockdex.landings import REMEMBERED_BLOCKS, Landings
from mockdex.ledger import Ledger
from mockdex.markets import Markets
from mockdex.prices import PriceWalk
from mockdex.storage import Position, Storage, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockdex.settings import ProcessSettings

_ACCEPTED = "SELECT number, signature, due_ms, last_valid_height, fate, record FROM accepted ORDER BY number"
_POOLS = "SELECT key, slot, displacement FROM pools"
# Statuses stay in memory longer than anybody may ask for them without history, as stale answers look back.
_SLACK_SLOTS = 32


class Exchange:
    """Everything that one process serves."""

    def __init__(
        self,
        settings: ProcessSettings,
        storage: Storage,
        clock: Callable[[], int],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        stored = _begin(settings, storage)
        position = stored.position
        self.seed = stored.seed
        self.storage = storage
        self.tuning = settings.tuning()
        self.faults = Faults(stored.seed, self.tuning, orjson.loads(position.drawn))
        self.markets = Markets(PriceWalk(stored.seed), settings.mock_dex_block_ms)
        self.ledger = Ledger(storage, self.markets)
        valid_blocks = settings.mock_dex_valid_blocks
        landings = Landings(max(REMEMBERED_BLOCKS, valid_blocks) + _SLACK_SLOTS)
        self.chain = Chain(
            storage=storage,
            markets=self.markets,
            faults=self.faults,
            tuning=self.tuning,
            chain_time=ChainTime(position.height, position.chain_ms, settings.mock_dex_block_ms, clock),
            blockhashes=Blockhashes(stored.genesis, valid_blocks),
            landings=landings,
            height=position.height,
            next_number=position.next_number,
            landed_count=self.ledger.count(),
        )
        self.driver = Driver(self.chain, on_failure)
        self._restore(landings, slot_of(position.height))
        self.failed = False

    @classmethod
    async def open(
        cls, settings: ProcessSettings, on_failure: Callable[[], None], clock: Callable[[], int] = monotonic_ms
    ) -> Self:
        """Go on from what is stored; raise DirectoryUnusable. Calls on_failure when the chain cannot go on."""

        def fail(error: BaseException) -> None:
            log.critical("the chain cannot go on", exc_info=error)
            exchange.failed = True
            exchange.driver.stop()
            on_failure()

        storage = Storage(settings.mock_dex_data_dir, fail)
        exchange = cls(settings, storage, clock, fail)
        exchange.driver.start()
        # Its height is committed before anybody can ask for it.
        await asyncio.wait((storage.commit(),))
        return exchange

    async def close(self) -> None:
        """Stop the chain and commit what it has done, if that is still possible."""
        self.driver.stop()
        await self.storage.close()

    async def ready(self) -> dict[str, str]:
        """Tell what works."""
        return {"storage": "down" if self.failed else "up"}

    def _restore(self, landings: Landings, slot: int) -> None:
        for landing in self.ledger.since(landings.oldest(slot)):
            landings.add(landing)
        for row in self.storage.read_now(_ACCEPTED):
            self.chain.restore(InFlight(*row))
        for key, moved_at, displacement in self.storage.read_now(_POOLS):
            market = self.markets.by_key.get(key)
            if market is not None:
                market.restore(tuple(int(part) for part in orjson.loads(displacement)), moved_at)


def _begin(settings: ProcessSettings, storage: Storage) -> Stored:
    wanted = settings.mock_dex_seed
    fresh = secrets.randbelow(2**31) if wanted is None else wanted
    stored = storage.found(fresh, Position(GENESIS_HEIGHT, 0, 1, "{}"))
    if wanted is not None and wanted != stored.seed:
        log.warning("the data directory's chain goes on with another seed", stored=stored.seed, seed=wanted)
        storage.reseed(wanted)
        stored = stored._replace(seed=wanted)
    elif wanted is None and stored.seed != fresh:
        log.info("the seed is the data directory's", seed=stored.seed)
    return stored
