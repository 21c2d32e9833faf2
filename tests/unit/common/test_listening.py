"""Addresses of either family: where a process listens, and where it is reached."""

import socket

import pytest

from engine_common.listening import in_url, open_listener, reached_at


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])  # noqa: S104 - what is tested
def test_what_listens_on_an_address_is_reached_where_it_is_said_to_be(host: str) -> None:
    """By the name that a URL has."""
    with open_listener(host, 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((reached_at(host).strip("[]"), port), timeout=5) as client:
            assert client.getpeername()[1] == port


def test_every_address_means_those_of_both_families() -> None:
    """On a cluster with both, half of the clients would meet nobody otherwise."""
    with open_listener("::", 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()


@pytest.mark.parametrize("host", ["no-such-name.invalid", "192.0.2.1", "2001:db8::1", "300.1.1.1"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    """Or a name that nobody knows."""
    with pytest.raises(OSError, match=r"."):
        open_listener(host, 0)


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    """A name or an IPv4 address stands as it is."""
    assert [in_url(host) for host in ("::1", "127.0.0.1", "api")] == ["[::1]", "127.0.0.1", "api"]
