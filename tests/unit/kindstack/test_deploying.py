"""Which images a deployment takes where nobody names a tag."""

from io import StringIO

import pytest
from rich.console import Console

from engine_common import __version__
from kindstack import deploying
from kindstack.progress import Steps
from kindstack.release import Release
from kindstack.settings import DeploySettings
from kindstack.standing_up import VALUES

from .conftest import Programs


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[Release]:
    """Collect the releases that would be deployed."""
    found: list[Release] = []

    async def collect(release: Release, _steps: Steps) -> None:
        found.append(release)

    monkeypatch.setattr(deploying, "deploy", collect)
    return found


async def tag_of(deployed: list[Release], settings: DeploySettings) -> str:
    with Steps(Console(file=StringIO(), width=200)) as steps:
        await deploying.deploy_to_current_context(settings, steps, "kind-order-engine", VALUES)
    return deployed[-1].tag


def listed(name: str, namespace: str, updated: str, chart: str = "order-engine-0.5.0") -> dict[str, str]:
    return {"name": name, "namespace": namespace, "updated": updated, "chart": chart}


def cluster(programs: Programs, context: str = "kind-order-engine") -> None:
    programs.answer("current-context", context)
    programs.answer("config view", {"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]})
    programs.answer("helm history", status=1, err="Error: release: not found")
    programs.answer(
        "helm list --all-namespaces",
        [
            listed("order-engine", "order-engine", "2026-11-27 10:00:00 +0000 UTC"),
            listed("newer", "second", "2026-11-27 11:00:00 +0000 UTC"),
            listed("tagged", "third", "2026-11-27 12:00:00 +0000 UTC"),
            listed("stranger", "fourth", "2026-11-27 13:00:00 +0000 UTC", "order-engine-tools-1.0.0"),
        ],
    )
    for name, tag in (("order-engine", "dev-old"), ("newer", "dev-new"), ("tagged", "1.0"), ("stranger", "dev-x")):
        programs.answer(f"helm get values {name} ", {"image": {"tag": tag}})


async def test_a_second_release_on_kind_takes_images_that_the_nodes_have(
    programs: Programs, deployed: list[Release]
) -> None:
    """The nodes have the development tags of `make kind-up` alone; the newest of our releases names one."""
    cluster(programs)
    assert await tag_of(deployed, DeploySettings(namespace="other")) == "dev-new"


@pytest.mark.parametrize(
    ("settings", "context", "tag"),
    [
        (DeploySettings(namespace="other", tag="7.7"), "kind-order-engine", "7.7"),
        (DeploySettings(namespace="other", registry="registry.example.com"), "kind-order-engine", __version__),
        (DeploySettings(namespace="other"), "production", __version__),
    ],
)
async def test_images_of_other_releases_are_taken_on_kind_alone(
    programs: Programs, deployed: list[Release], settings: DeploySettings, context: str, tag: str
) -> None:
    """A tag, a registry or another cluster says where the images are."""
    cluster(programs, context)
    assert await tag_of(deployed, settings) == tag


async def test_without_a_release_on_kind_the_version_is_the_tag(programs: Programs, deployed: list[Release]) -> None:
    programs.answer("helm list --all-namespaces", [])
    cluster(programs)
    assert await tag_of(deployed, DeploySettings(namespace="other")) == __version__
