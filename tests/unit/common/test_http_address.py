"""A URL of an HTTP server, honoured whole or refused."""

import pytest

from engine_common.http_address import HttpAddress


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://dex:4000", "http://dex:4000", "/rpc"),
        ("http://dex:80/", "http://dex", "/rpc"),
        ("https://dex", "https://dex", "/rpc"),
        ("https://dex:8443/v1//", "https://dex:8443", "/v1/rpc"),
        ("http://[::1]:4000", "http://[::1]:4000", "/rpc"),
        ("https://node/?api-key=a%2Fb", "https://node", "/rpc?api-key=a%2Fb"),
        ("https://node?api-key=x&y=", "https://node", "/rpc?api-key=x&y="),
        ("HTTPS://Node", "https://node", "/rpc"),
    ],
)
def test_every_part_finds_its_place(url: str, origin: str, target: str) -> None:
    """Scheme, host and port, path and query; a query of the request follows the URL's own."""
    address = HttpAddress.parse(url)
    assert (address.origin, address.target("/rpc")) == (origin, target)
    separator = "&" if "?" in target else "?"
    assert address.target("/rpc", "a=1") == f"{target}{separator}a=1"


def test_user_and_password_become_an_authorization_and_are_not_shown() -> None:
    """Decoded first: a password may hold any character."""
    address = HttpAddress.parse("https://us%40er:p%3A%2Fw@dex/?key=secret")
    assert address.authorization == "Basic dXNAZXI6cDovdw=="
    assert "secret" not in repr(address)
    assert "dXNAZ" not in repr(address)
    assert HttpAddress.parse("https://token@dex").authorization == "Basic dG9rZW46"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://dex", "http or https"),
        ("http://", "with a host"),
        ("http:///path", "with a host"),
        ("dex:4000", "http or https"),
        ("http://dex/#part", "fragment"),
        ("http://dex/?key=a#b", "%23"),
        ("http://dex:port", "number as port"),
        ("http://dex:99999", "number as port"),
        ("http://dex/a b", "blanks"),
        ("http://dex/\r\nx: y", "http or https|ASCII"),
        ("http://d\u00e9x", "ASCII"),
    ],
)
def test_a_url_that_cannot_be_honoured_whole_is_refused(url: str, reason: str) -> None:
    """With a reason, and without repeating it: a key may stand in it."""
    with pytest.raises(ValueError, match=reason):
        HttpAddress.parse(url)
