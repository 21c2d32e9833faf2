"""How long the disk takes to make a small write durable: the floor under every commit."""

import os
import statistics
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile

_PAGE_BYTES = 8192
_WRITES = 100


def fdatasync_ms(directory: Path) -> float:
    """Return the median time of appending a page of PostgreSQL's size and fdatasync, in a file of the directory."""
    took: list[float] = []
    with closing(TemporaryFile(dir=directory)) as file:
        page = os.urandom(_PAGE_BYTES)
        for _ in range(_WRITES):
            os.write(file.fileno(), page)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
