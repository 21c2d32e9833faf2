"""The commands as a shell calls them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from devstack.faults import StackError
from kindstack import cli
from kindstack.standing_up import VALUES

from .conftest import Programs

_SECRETS = ("wallet-key", "postgres-password", "valkey-password", "mockdex-admin-token")


@pytest.fixture
def stopped(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Ask for nobody at work, on a cluster that answers."""
    monkeypatch.setenv("STOPPED", "1")
    programs.answer("config current-context", "kind-here")
    programs.answer("config view", {"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}]})
    programs.answer("get secret order-engine-secrets", {"data": dict.fromkeys(_SECRETS, "")})
    programs.answer("kubectl version", {"clientVersion": {"gitVersion": "v1.34.1"}})
    programs.answer("kubectl", {"items": []})
    programs.answer("helm version", "v4.3.1")
    programs.answer("helm list", [])
    programs.answer("helm history", [])
    return programs


def test_a_restore_can_deploy_without_anybody_at_work(stopped: Programs) -> None:
    """`make deploy STOPPED=1` hands Helm no pods of api and worker."""
    result = CliRunner().invoke(cli.app, ["deploy"])
    assert result.exit_code == 0, result.output
    (upgrade,) = [call for call in stopped.calls if call.startswith("helm upgrade")]
    assert "--set api.replicas=0,api.autoscaling.enabled=false,worker.replicas=0,worker.autoscaling" in upgrade


def test_on_kind_own_values_are_added_to_those_of_kind(stopped: Programs, tmp_path: Path) -> None:
    """Two lines about workers do not take the ingress away."""
    own = tmp_path / "mine.yaml"
    own.write_text("{}")
    result = CliRunner().invoke(cli.app, ["deploy"], env={"VALUES": str(own), "KIND_CLUSTER": "here"})
    assert result.exit_code == 0, result.output
    (upgrade,) = [call for call in stopped.calls if call.startswith("helm upgrade")]
    assert f"deploy/kind/values.yaml --values {own} --set-string" in upgrade
    assert f"values {VALUES}, then {own}" in result.output


def test_a_cluster_is_not_brought_up_without_anybody_at_work(stopped: Programs) -> None:
    """An order proves it, which nobody would execute; nothing was touched by then."""
    result = CliRunner().invoke(cli.app, ["up"])
    assert isinstance(result.exception, StackError)
    assert str(result.exception).startswith("STOPPED is for `make deploy`")
    assert stopped.calls == []


def test_a_cluster_can_be_removed_whatever_was_asked_of_it(stopped: Programs) -> None:
    """STOPPED, left over in a shell, means nothing to it."""
    stopped.answer("docker version", "20.10.24")
    stopped.answer("kind version", "kind v0.33.0 go1.26 linux/amd64")
    result = CliRunner().invoke(cli.app, ["down"])
    assert result.exit_code == 0, result.exception
    assert "there is no kind cluster order-engine: nothing to remove" in result.output
