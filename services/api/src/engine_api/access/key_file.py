"""The file of API keys: read again whenever it changes, so that a key is given or revoked without a restart."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from engine_api.access.keys import Digests, KeysMalformed, parse_hashed

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0

_Mark = tuple[int, int, int]


def read_key_file(path: Path) -> Digests:
    """Return the keys in the file. Raises KeysMalformed."""
    try:
        return parse_hashed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise KeysMalformed("must be UTF-8") from None
    except OSError as error:
        raise KeysMalformed(f"cannot be read ({error.strerror})") from None


class KeyFile:
    """Watches the file; as long as it cannot be read, the keys read last stay in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = self._look()
        self.digests = read_key_file(path)

    async def watch(self, changed: Callable[[Digests], object]) -> None:
        """Hand over the keys each time the file has changed, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            mark = await asyncio.to_thread(self._look)
            if mark == self._mark:
                continue
            self._mark = mark
            await self._take(changed)

    async def _take(self, changed: Callable[[Digests], object]) -> None:
        complaint = None
        try:
            digests = await asyncio.to_thread(read_key_file, self._path)
        except KeysMalformed as error:
            complaint = str(error)
        else:
            changed(digests)
            log.info("API_KEYS_FILE was read again: %d keys", len(digests))
        if complaint is not None:
            log.error("API_KEYS_FILE %s; the keys read before stay in force", complaint)

    def _look(self) -> _Mark | None:
        """Return what tells one state of the file from another; a mounted Secret changes by another file's name."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
