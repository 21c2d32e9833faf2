"""Says when the process can open no more connections: libuv closes new ones at once, without a word."""

import errno
import logging
import os
import resource

log = logging.getLogger(__name__)


class DescriptorWatch:
    """Looks whether there are file descriptors left, and says so when that changes."""

    def __init__(self) -> None:
        self._exhausted = False

    def look(self) -> None:
        """Look once; costs two system calls."""
        exhausted = _exhausted()
        if exhausted and not self._exhausted:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            log.error("no file descriptors left of %d (ulimit -n): new connections are closed at once", limit)
        elif self._exhausted and not exhausted:
            log.info("file descriptors are to be had again, and connections taken")
        self._exhausted = exhausted


def _exhausted() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
