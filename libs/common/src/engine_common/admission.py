"""What a production start is refused for: credentials that everybody knows, and databases reached in plain text."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

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


def has_only_numeric_ports(database: Mapping[str, Any]) -> bool:
    """Tell whether the ports are ports."""
    return all(port.isdecimal() for port in f"{database.get('port') or 0}".split(",") if port)


def is_plaintext_and_remote(database: Mapping[str, Any]) -> bool:
    """Tell whether what is sent to the database can be read on the way."""
    addresses = f"{database.get('hostaddr') or database.get('host') or ''}".split(",")
    return database.get("sslmode") not in _ENCRYPTED and not all(map(_is_local, addresses))


def _is_local(address: str) -> bool:
    return not address or address.startswith(("/", "@", "127.")) or address in ("localhost", "::1")


def redis_credentials(url: str) -> tuple[str | None, str | None]:
    """Return user and password of the URL."""
    parts = urlsplit(url)
    return parts.username, None if parts.password is None else unquote(parts.password)
