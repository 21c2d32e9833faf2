"""An HTTP URL taken apart, so that a service honours every part of it and shows none that may be secret."""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where requests go: `prefix` and `query` are part of every request's target, `authorization` of its headers."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    query: str = field(default="", repr=False)
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "HttpAddress":
        """Return the parts of an http or https URL. Raises ValueError, with a reason that repeats no secret."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("must be an http or https URL with a host")
        if parts.fragment or "#" in url:
            raise ValueError("must not have a fragment: write # as %23 where it is part of a key")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("must be ASCII without blanks: write other characters as %XX")
        try:
            port = parts.port
        except ValueError:
            raise ValueError("must have a number as port") from None
        credentials = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
        prefix = parts.path.rstrip("/")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], prefix, parts.query, credentials)

    @property
    def secure(self) -> bool:
        """Whether TLS is used."""
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        """The scheme, host and port: what may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def host_header(self) -> str:
        """The value of the header `Host`."""
        return self.origin.partition("://")[2]

    def target(self, path: str, query: str = "") -> str:
        """Return the request target of a path below the address, with the address's query before the request's own."""
        whole = "&".join(part for part in (self.query, query) if part)
        return f"{self.prefix}{path}?{whole}" if whole else f"{self.prefix}{path}"
