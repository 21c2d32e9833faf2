import socket
from pathlib import Path

import pytest

from devstack.faults import PortTaken
from devstack.ports import free_port, is_free, owner_of, require_free


def test_a_free_port_can_be_listened_on_and_is_none_that_a_client_may_be_given() -> None:
    """A server that starts again finds its port where it was, whatever connections were opened meanwhile."""
    port = free_port()
    assert is_free(port)
    assert port < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104 - such listeners are the subject
def test_a_port_that_somebody_listens_on_is_taken(host: str) -> None:
    """On loopback or on all addresses of either family."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        name = Path("/proc/self/comm").read_text().strip()
        owner = f"{name} (pid {Path('/proc/self').readlink()})"
        assert owner_of(port) == owner
        with pytest.raises(PortTaken) as raised:
            require_free(port, "API_PORT")
        assert str(raised.value) == f"Port {port} is taken by {owner}: stop it, or set API_PORT to another port."
    assert is_free(port)
    require_free(port, "API_PORT")


def test_nobody_owns_a_free_port() -> None:
    """The owner is looked for among listeners only."""
    assert owner_of(free_port()) is None


def test_an_address_that_is_not_ours_is_not_called_taken() -> None:
    """Another port would not help; the sentence names what would."""
    with pytest.raises(PortTaken, match=r"Cannot listen on port 3000 of 192\.0\.2\.1 .* set API_PORT or API_HOST"):
        require_free(3000, "API_PORT", "192.0.2.1")
