"""The operator's commands on a release: they reach what our own kubectl forwards, and nothing else."""

import base64

import pytest
from typer.testing import CliRunner

from devstack.faults import StackError
from devstack.ports import free_port
from kindstack import cli

from .conftest import Programs


def service(name: str) -> dict[str, object]:
    return {"items": [{"metadata": {"name": name}}]}


@pytest.fixture
def cluster(programs: Programs) -> Programs:
    """Return the programs of a cluster that answers, with a release."""
    programs.answer("config current-context", "kind-here")
    programs.answer("config view", {"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}]})
    programs.answer("kubectl version", {"clientVersion": {"gitVersion": "v1.34.1"}})
    programs.answer("component=postgres", service("mine-order-engine-postgres"))
    programs.answer("component=mockdex", service("mine-order-engine-mockdex"))
    password = base64.b64encode(b"p@ss/word").decode()
    programs.answer("get secret order-engine-secrets", {"data": {"postgres-password": password}})
    return programs


@pytest.mark.parametrize("command", [["audit"], ["audit", "--settled"], ["reconcile"]])
def test_a_command_reaches_the_ports_that_kubectl_chose(
    cluster: Programs, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """With 15432 taken a fixed port reached somebody else's PostgreSQL. Nobody listens here, which is said."""
    port = free_port()
    cluster.answer(":5432", f"Forwarding from 127.0.0.1:{port} -> 5432")
    cluster.answer(":4000", f"Forwarding from 127.0.0.1:{port} -> 4000")
    result = CliRunner().invoke(cli.app, command, env={"NAMESPACE": "there", "RELEASE": "mine"})
    assert result.exit_code == 1
    forwards = [call for call in cluster.calls if "port-forward" in call]
    common = "kubectl --context kind-here --namespace there port-forward --address=127.0.0.1 service/mine-order-engine"
    assert forwards == [f"{common}-postgres :5432", f"{common}-mockdex :4000"]
    said = capfd.readouterr()
    assert f"port {port} failed" in said.err or str(port) in said.err
    assert "p@ss" not in said.out + said.err
    assert not cluster.is_running("port-forward")


def test_what_kubectl_says_of_a_port_that_cannot_be_forwarded_is_told(cluster: Programs) -> None:
    """The service's name, and why."""
    cluster.answer("port-forward", err="error: unable to forward port because pod is not running", status=1)
    result = CliRunner().invoke(cli.app, ["audit"])
    assert isinstance(result.exception, StackError)
    assert "mine-order-engine-postgres: error: unable to forward port" in str(result.exception)


def test_a_release_that_is_not_there_is_named(programs: Programs) -> None:
    """With what to set."""
    programs.answer("config current-context", "kind-here")
    programs.answer("config view", {"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}]})
    programs.answer("kubectl version", {"clientVersion": {"gitVersion": "v1.34.1"}})
    programs.answer("get services", {"items": []})
    result = CliRunner().invoke(cli.app, ["audit"], env={"RELEASE": "gone"})
    assert isinstance(result.exception, StackError)
    assert str(result.exception).startswith(
        "Release gone in namespace order-engine has no service of postgres: set RELEASE"
    )
