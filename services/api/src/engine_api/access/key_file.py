"""The file of API keys: read again whenever it changes, so that a key is given or revoked without a restart."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from engine_api.access.keys import Digests, KeysMalformed, parse_hashed

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0

_Mark = tuple[int, int, int, int]


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

    def __init__(self, path: Path, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._path = path
        self._look_every_s = look_every_s
        self._mark = self._look()
        self._complained_of = self._found_empty = self._mark
        self.digests = read_key_file(path)

    async def watch(self, changed: Callable[[Digests], object]) -> None:
        """Hand over the keys each time the file has changed, until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            mark = await asyncio.to_thread(self._look)
            if mark == self._mark:
                self._complained_of = self._found_empty = mark
                continue
            try:
                await self._take(mark, changed)
            except KeysMalformed as error:
                if self._is_news(mark):
                    log.error("API_KEYS_FILE %s; the keys read before stay in force", error)  # noqa: TRY400 - says which line
            except Exception:
                if self._is_news(mark):
                    log.exception("API_KEYS_FILE has changed, and could not be put in force; it is tried again")

    async def _take(self, mark: _Mark | None, changed: Callable[[Digests], object]) -> None:
        digests = await asyncio.to_thread(read_key_file, self._path)
        if self.digests and not digests and self._found_empty != mark:
            self._found_empty = mark  # perhaps it is just being written
            return
        changed(digests)
        self.digests = digests
        self._mark = self._complained_of = self._found_empty = mark
        log.info("API_KEYS_FILE was read again: %d keys", len(digests))

    def _is_news(self, mark: _Mark | None) -> bool:
        """Tell whether this state of the file was not complained of before."""
        news, self._complained_of = self._complained_of != mark, mark
        return news

    def _look(self) -> _Mark | None:
        """Return what tells one state of the file from another; a mounted Secret changes by another file's name."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
