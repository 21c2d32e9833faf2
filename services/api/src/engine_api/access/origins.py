"""Origins of pages that may use the api from a browser, as browsers write them (RFC 6454): scheme, host, port."""

import re
from ipaddress import IPv6Address

ANY = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Pages of these have no origin of their own (`null`), or none at all.
_WITHOUT_ORIGIN = frozenset({"file", "data", "blob", "about", "javascript"})
_SOCKETS = {"ws": "http", "wss": "https"}
_HIGHEST_PORT = 65535

_authority = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(:(?P<port>.*))?")
_scheme = re.compile(r"[a-z][a-z0-9+.-]*")
_host = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?")
_port = re.compile(r"[0-9]{1,5}")


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list separated by commas, each once. Raises ValueError, which says what to write."""
    entries = [entry.strip() for entry in text.split(",")]
    return tuple(dict.fromkeys(parse_origin(entry) for entry in entries if entry))


def parse_origin(entry: str) -> str:
    """Return the origin as a browser sends it, `*` as it is. Raises ValueError, which says what to write instead."""
    if entry == ANY:
        return entry
    if entry.lower() == "null":
        raise ValueError("has the entry null, which is sent by every sandboxed page: list the page's own origin")
    scheme, separator, rest = entry.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ValueError(f"has the entry {entry} without a scheme: write https://{entry} or http://{entry}")
    if scheme in _SOCKETS:
        raise ValueError(f"has the entry {entry}: the origin is that of the page, so write {_SOCKETS[scheme]}://{rest}")
    if not _scheme.fullmatch(scheme) or scheme in _WITHOUT_ORIGIN:
        raise ValueError(f"has the entry {entry}: pages of {scheme}:// have no origin; serve them by http or https")
    return _checked(entry, scheme, rest)


def _checked(entry: str, scheme: str, rest: str) -> str:
    """Return the origin of a known scheme and what follows it."""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("has an entry with a user name: an origin is scheme, host and port only")
    if "*" in authority:
        raise ValueError(
            f"has the entry {entry} with a wildcard: list each origin, or write * alone to allow every one"
        )
    try:
        host, port = _host_and_port(authority)
    except ValueError as error:
        raise ValueError(f"has the entry {entry}, {error}: write it as in https://desk.example.com:8443") from None
    origin = f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"
    if authority != rest:
        raise ValueError(f"has the entry {entry}, which goes on after host and port: write {origin}")
    return origin


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """Return both as a browser writes them."""
    found = _authority.fullmatch(authority.lower())
    if found is None:
        raise ValueError("whose host is none")
    host, text = found["host"], found["port"]
    if text is not None and (not _port.fullmatch(text) or not 0 < int(text) <= _HIGHEST_PORT):
        raise ValueError(f"whose port is not a number from 1 to {_HIGHEST_PORT}")
    port = None if text is None else int(text)
    if host.startswith("["):
        return f"[{_ipv6(host[1:-1])}]", port
    if not host.isascii():
        raise ValueError(f"whose host browsers write as {_punycode(host)}")
    if not _host.fullmatch(host) or ".." in host:
        raise ValueError("whose host is none")
    return host, port


def _ipv6(host: str) -> str:
    try:
        return IPv6Address(host).compressed
    except ValueError:
        raise ValueError("whose IPv6 address is none") from None


def _punycode(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return "ASCII"
