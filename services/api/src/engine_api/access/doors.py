"""What decides who comes in, put together for as long as the process serves."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Scope

from engine_api.access.credentials import read_api_key, unauthorized
from engine_api.access.key_file import KeyFile
from engine_api.access.keys import ANYBODY, Caller, Digests, Keyring
from engine_api.access.presence import Presence
from engine_api.access.quotas import Quotas
from engine_api.access.tally import Tally
from engine_api.settings import ApiSettings
from engine_common.supervision import supervise

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Doors:
    """The keys in force, the sockets that are open, and the quotas."""

    keyring: Keyring
    presence: Presence
    quotas: Quotas

    def admit(self, scope: Scope) -> Caller:
        """Return who asks. Raises Refusal."""
        if not self.keyring.required:
            return ANYBODY
        caller = self.keyring.find(read_api_key(scope))
        if caller is None:
            raise unauthorized("this API key is not known")
        return caller

    def change_keys(self, digests: Digests) -> None:
        """Put other keys in force, and send away whoever came in with one that is gone."""
        self.presence.expel(self.keyring.replace(digests))


@asynccontextmanager
async def opened(settings: ApiSettings) -> AsyncGenerator[Doors]:
    """Open the doors. Raises KeysMalformed."""
    file = None if settings.api_keys_file is None else KeyFile(settings.api_keys_file)
    keyring = Keyring(settings.api_keys if file is None else file.digests)
    if not keyring.required:
        log.warning("neither API_KEYS_FILE nor API_KEYS is set: whoever reaches this api may do everything")
    tally = Tally(settings.redis_url)
    quotas = Quotas(tally, settings.rate_limit_reads, settings.rate_limit_writes)
    doors = Doors(keyring, Presence(keyring, settings.max_sockets_per_account), quotas)
    watching = None if file is None else supervise(file.watch(doors.change_keys), "key-file")
    try:
        yield doors
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await tally.close()
