"""Sockets to listen on, at an address of either family, and the address at which such a socket is reached."""

import socket

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what stands for every address


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the host's address, a name's first one; `::` takes IPv4 as well.

    Raises OSError when the name is not known, or the address is not this machine's or taken.
    """
    # The protocol is named because asyncio would otherwise not take it for TCP, and delay every answer's second packet.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def in_url(host: str) -> str:
    """Return the host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def reached_at(host: str) -> str:
    """Return, as a URL has it, where a process of this machine reaches what listens on the host."""
    return in_url(_ANY.get(host, host))
