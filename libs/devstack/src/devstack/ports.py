"""Free ports, and who holds a taken one."""

import contextlib
import errno
import random
from pathlib import Path

from devstack.faults import PortTaken
from engine_common.listening import open_listener

_LISTENING = "0A"
_LOWEST = 10_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now. Raises OSError when the address is not ours to listen on."""
    try:
        open_listener(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens.

    It lies below the ephemeral range: a port inside it can be taken by any outgoing connection before its server
    starts, and a client that keeps trying to reach a stopped server there can even connect to itself.
    """
    highest = _first_ephemeral_port() - 1
    candidates = random.SystemRandom().sample(range(_LOWEST, highest), 100)
    for port in candidates:
        if is_free(port):
            return port
    raise PortTaken(f"None of 100 ports tried between {_LOWEST} and {highest} is free.")


def require_free(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Raise PortTaken, naming the owner and the variable to change, unless a server could listen on the port."""
    try:
        free = is_free(port, host)
    except OSError as error:
        remedy = f"set {variable} or {variable.replace('PORT', 'HOST')} to another one"
        raise PortTaken(f"Cannot listen on port {port} of {host} ({error.strerror}): {remedy}.") from None
    if not free:
        owner = owner_of(port) or "another program"
        raise PortTaken(f"Port {port} is taken by {owner}: stop it, or set {variable} to another port.")


def owner_of(port: int) -> str | None:
    """Name the process that listens on the port, as far as /proc lets this user see it."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return f"{name} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> frozenset[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == _LISTENING and int(local.rsplit(":", 1)[1], 16) == port:
                    found.add(f"socket:[{rest[5]}]")
    return frozenset(found)


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    return first if first > _LOWEST + 1_000 else 32_768
