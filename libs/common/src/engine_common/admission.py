"""What a production start is refused for: credentials that everybody knows, and databases reached in plain text."""

import ipaddress
from collections.abc import Mapping
from typing import Any

_WELL_KNOWN = frozenset(
    {
        *("admin", "changeme", "change-me", "default", "example", "guest", "pass", "passwd", "password", "postgres"),
        *("redis", "root", "secret", "test", "valkey", "123456"),
    }
)
# With these a connection is encrypted or refused; `prefer`, the default, is content with plain text.
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})


def is_well_known(user: str | None, password: str | None) -> bool:
    """Tell whether the password is one that everybody tries first; none at all is left to the server to judge."""
    return password is not None and (password.lower() in _WELL_KNOWN or password == user)


def parse_database_url(url: str) -> Mapping[str, Any]:
    """Return the URL's parts by libpq's names. Raises ValueError."""
    # Imported here, because not everything that has settings has a database.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(url)
    except ProgrammingError:
        raise ValueError("is not a URL that PostgreSQL's clients understand") from None


def effective_database(url: str) -> Mapping[str, Any]:
    """Return what a connection to the URL will use: its own parts, and what it leaves out from libpq's environment."""
    from psycopg import pq

    defaults = {o.keyword.decode(): o.val.decode() for o in pq.Conninfo.get_defaults() if o.val}
    return defaults | {name: value for name, value in parse_database_url(url).items() if value is not None}


def has_only_numeric_ports(database: Mapping[str, Any]) -> bool:
    """Tell whether the ports are ports."""
    return all((port.isascii() and port.isdigit()) for port in f"{database.get('port') or 0}".split(",") if port)


def is_plaintext_and_remote(database: Mapping[str, Any]) -> bool:
    """Tell whether what is sent to the database can be read on the way."""
    addresses = f"{database.get('hostaddr') or database.get('host') or ''}".split(",")
    return database.get("sslmode") not in _ENCRYPTED and not all(map(_is_local, addresses))


def _is_local(address: str) -> bool:
    """Tell whether nothing leaves this machine: a socket's directory, or a loopback address."""
    if not address or address.startswith(("/", "@")) or address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def redis_credentials(url: str) -> tuple[str | None, str | None]:
    """Return user and password as the client reads them, which takes them from the query too."""
    from redis import ConnectionPool

    pool: Any = ConnectionPool.from_url(url)  # opens nothing yet
    return pool.connection_kwargs.get("username"), pool.connection_kwargs.get("password")
