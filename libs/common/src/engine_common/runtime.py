"""Prepares a service's process for thousands of orders and connections at once."""

import gc
import resource

# Allocations between two collections of the youngest generation, and so on. Python's 700 makes the collector walk
# thousands of living orders again and again.
_GC_THRESHOLDS = (50_000, 20, 100)


def prepare_process() -> None:
    """Call it once, after the imports and before the event loop starts."""
    _allow_many_sockets()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _allow_many_sockets() -> None:
    """Many systems begin with 1024 files a process, and every order in flight and every client may hold a socket."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
