"""What RFC 9112 wants of a request's head, beyond what the parser looks at: Host, and transfer codings that we read."""

import re
from collections.abc import Sequence

from engine_api.problems import MALFORMED_REQUEST, NOT_IMPLEMENTED, Refusal

# A name, an IPv4 address or an IPv6 address in brackets, and a port; empty where the target has no authority.
_host = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]*)?")
_CHUNKED = [b"chunked"]

Headers = Sequence[tuple[bytes, bytes]]


def refusal_of_head(headers: Headers, http_version: str) -> Refusal | None:
    """Return why the request is refused, or None."""
    hosts: list[bytes] = []
    codings: list[bytes] = []
    coded = False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            coded = True
            codings += [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if len(hosts) != 1 and (hosts or http_version != "1.0"):
        # Two readers could take two different hosts for the one that is meant.
        return Refusal(MALFORMED_REQUEST, "a request has exactly one Host header: send it once")
    if hosts and not _host.fullmatch(hosts[0]):
        return Refusal(MALFORMED_REQUEST, "the Host header is no host with an optional port: correct it")
    return _refusal_of_codings(codings, http_version) if coded else None


def _refusal_of_codings(codings: Sequence[bytes], http_version: str) -> Refusal | None:
    if http_version == "1.0":
        return Refusal(MALFORMED_REQUEST, "HTTP/1.0 has no Transfer-Encoding: send Content-Length, or use HTTP/1.1")
    if any(coding != b"chunked" for coding in codings):
        return Refusal(NOT_IMPLEMENTED, "the only Transfer-Encoding that is read here is chunked: send the body so")
    if codings != _CHUNKED:
        return Refusal(MALFORMED_REQUEST, "a body is chunked once: send one Transfer-Encoding")
    return None
