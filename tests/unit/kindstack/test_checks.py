import socket
from pathlib import Path

import pytest

from devstack.faults import PortTaken, StackError, ToolMissing
from devstack.ports import free_port
from kindstack import checks
from kindstack.faults import DockerSilent, ToolTooOld

from .conftest import Programs

MEMORY_OF_A_LARGE_MACHINE = 32 * 2**30


async def test_every_missing_tool_is_named_at_once_with_where_to_get_it(programs: Programs, tmp_path: Path) -> None:
    """Nobody installs them one by one, an error after the other."""
    (tmp_path / "bin" / "helm").unlink()
    (tmp_path / "bin" / "kind").unlink()
    programs.answer("kubectl version", {"clientVersion": {"gitVersion": "v1.34.1"}})
    with pytest.raises(StackError) as raised:
        await checks.require_tools("kind", "kubectl", "helm")
    kind, helm = str(raised.value).splitlines()
    assert kind.startswith("`kind` is not installed, or not in PATH: install it as https://kind.sigs.k8s.io/")
    assert helm.startswith("`helm` is not installed, or not in PATH: install Helm 4")


async def test_one_missing_tool_is_one_sentence(programs: Programs, tmp_path: Path) -> None:
    """Make is looked for like the rest."""
    del programs
    assert not (tmp_path / "bin" / "make").exists()
    with pytest.raises(ToolMissing, match=r"^`make` is not installed, or not in PATH: install GNU make\.$"):
        await checks.require_tools("make")


@pytest.mark.parametrize(
    ("helm", "accepted"), [("v3.13.2", False), ("v3.14.0", True), ("v4.3", True), ("v4.0.1", True)]
)
async def test_a_tool_that_is_too_old_is_named_with_its_version(
    programs: Programs, helm: str, *, accepted: bool
) -> None:
    """Helm 3.14 is the first whose releases can be labelled at an upgrade."""
    programs.answer("helm version", helm)
    if accepted:
        await checks.require_tools("helm")
    else:
        with pytest.raises(ToolTooOld, match=r"^`helm` is v3\.13\.2, and at least 3\.14 is needed: install Helm 4"):
            await checks.require_tools("helm")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?", "start it"),
        ("permission denied while trying to connect to the Docker daemon socket", "add yourself to the group docker"),
    ],
)
async def test_a_docker_that_does_not_answer_is_told_with_what_to_do(
    programs: Programs, said: str, remedy: str
) -> None:
    """What is to be done depends on why."""
    programs.answer("docker version", status=1, err=said)
    with pytest.raises(DockerSilent) as raised:
        await checks.require_docker()
    assert str(raised.value).startswith(f"Docker does not answer ({said}): {remedy}")


async def test_a_docker_that_answers_suffices(programs: Programs) -> None:
    """From 20.10 on."""
    programs.answer("docker version", "20.10.24+dfsg1")
    await checks.require_docker()


async def test_a_port_that_somebody_listens_on_is_taken_and_its_owner_named(programs: Programs) -> None:
    """The owner as far as it can be known."""
    programs.answer("docker ps", "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            PortTaken, match=rf"^Port {port} is taken by .* \(pid \d+\): stop it, or set KIND_HTTP_PORT"
        ):
            await checks.require_port(port)


async def test_a_port_that_a_container_publishes_is_taken_by_that_container(programs: Programs) -> None:
    """Docker may publish without any listener that could be seen."""
    port = free_port()
    programs.answer(f"docker ps --filter publish={port}", "billing-web")
    with pytest.raises(
        PortTaken, match=f"^Port {port} is published by the container billing-web: stop it, or set KIND_"
    ):
        await checks.require_port(port)


async def test_a_free_port_passes(programs: Programs) -> None:
    """And nothing is said."""
    programs.answer("docker ps", "")
    await checks.require_port(free_port())


async def test_little_memory_is_told_before_pods_are_killed_for_it(programs: Programs) -> None:
    """As a remark: it may suffice."""
    programs.answer("docker info", {"MemTotal": 2 * 2**30, "DockerRootDir": "/not/on/this/machine"})
    assert await checks.scarcities() == ["Docker has 2.0 GiB of memory; with less than 4 pods may be killed."]


async def test_a_roomy_machine_gets_no_remark(programs: Programs) -> None:
    """What Docker does not tell is not guessed."""
    programs.answer("docker info", {"MemTotal": MEMORY_OF_A_LARGE_MACHINE, "DockerRootDir": ""})
    assert await checks.scarcities() == []
