from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devstack.faults import StackError
from kindstack.faults import ReleaseBusy
from kindstack.kubectl import Kubectl
from kindstack.release import STOPPED, Release, require_files

from .conftest import Programs

WHERE = "-n space --kube-context ctx --wait --wait-for-jobs"


def stored(revision: str, made_as: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"version": revision, "made-as": made_as}}}


@pytest.fixture
def release(tmp_path: Path) -> Release:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "templates" / "api.yaml").write_text("a")
    values = tmp_path / "values.yaml"
    values.write_text("v")
    return Release(Kubectl("ctx"), "engine", "space", (values,), None, "1.2", 60, chart)


async def test_helm_is_told_where_and_what_and_waits_for_jobs_too(programs: Programs, release: Release) -> None:
    """The context stands in every call: no other cluster can be meant."""
    programs.answer("helm history", status=1, err="Error: release: not found")
    await replace(release, registry="reg.example/team").upgrade()
    call = programs.calls[-1]
    (values,) = release.values
    assert call.startswith(f"helm upgrade --install engine {release.chart} --namespace space --values {values}")
    assert "--set-string image.registry=reg.example/team --set-string image.tag=1.2" in call
    assert "--kube-context ctx --wait --wait-for-jobs --timeout=60s --labels inputs=" in call


async def test_a_stopped_release_is_the_same_without_pods_of_ours(programs: Programs, release: Release) -> None:
    """The options come after the file, so that they win."""
    programs.answer("helm history", status=1, err="Error: release: not found")
    await replace(release, stopped=True).upgrade()
    call = programs.calls[-1]
    assert f"--values {release.values[0]} --set-string image.tag=1.2 --set {STOPPED} --kube-context" in call


@pytest.mark.parametrize("part", ["chart", "values", "tag", "registry", "stopped"])
def test_a_change_of_any_input_is_another_release(release: Release, part: str) -> None:
    """And with none it is the same."""
    before = release.inputs()
    assert before == replace(release).inputs()
    changed = release
    if part == "chart":
        (release.chart / "templates" / "api.yaml").write_text("b")
    elif part == "values":
        release.values[0].write_text("w")
    else:
        change = {"tag": {"tag": "1.3"}, "registry": {"registry": "r"}, "stopped": {"stopped": True}}[part]
        changed = replace(release, **change)
    assert changed.inputs() != before


@pytest.mark.parametrize(
    ("releases", "workload", "deployed"),
    [
        (1, {"readyReplicas": 2, "updatedReplicas": 2, "observedGeneration": 3}, True),
        (0, {"readyReplicas": 2, "updatedReplicas": 2, "observedGeneration": 3}, False),
        (1, {"readyReplicas": 1, "updatedReplicas": 2, "observedGeneration": 3}, False),
        (1, {"readyReplicas": 2, "updatedReplicas": 1, "observedGeneration": 3}, False),
        (1, {"readyReplicas": 2, "updatedReplicas": 2, "observedGeneration": 2}, False),
    ],
)
async def test_a_release_is_left_alone_when_it_is_the_same_and_ready(
    programs: Programs, release: Release, releases: int, workload: dict[str, int], *, deployed: bool
) -> None:
    """Otherwise Helm is called."""
    programs.answer("get secrets", {"items": [stored("4", "4")] * releases})
    document = {"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": workload}
    programs.answer("get deployments,statefulsets", {"items": [document]})
    assert await release.is_deployed() is deployed


async def test_a_release_that_somebody_else_has_changed_since_is_another_one(
    programs: Programs, release: Release
) -> None:
    """Helm gives the labels of a revision to the next one, whatever values that has: ours names its revision."""
    programs.answer("get secrets", {"items": [stored("5", "4")]})
    status = {"readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
    ready = {"metadata": {"generation": 1}, "spec": {"replicas": 1}, "status": status}
    programs.answer("get deployments,statefulsets", {"items": [ready]})
    assert not await release.is_deployed()


@pytest.mark.parametrize(("history", "next_one"), [([4, 5], "6"), ([], "1")])
async def test_a_release_is_marked_with_the_revision_that_it_becomes(
    programs: Programs, release: Release, history: list[int], next_one: str
) -> None:
    """Also the first one."""
    programs.answer("helm history", [{"revision": number, "status": "failed"} for number in history])
    await release.upgrade()
    assert programs.calls[-1].endswith(f",made-as={next_one}")


@pytest.mark.parametrize(
    ("status", "good", "undo"),
    [("pending-upgrade", [3], "rollback engine 3"), ("pending-install", [], "uninstall engine")],
)
async def test_a_release_that_a_killed_helm_left_locked_is_told_with_the_key(
    programs: Programs, release: Release, status: str, good: list[int], undo: str
) -> None:
    """Helm's own words would be: another operation is in progress."""
    programs.answer("helm list", [{"name": "engine", "status": status}])
    programs.answer("helm history", [{"revision": number, "status": "deployed"} for number in good])
    with pytest.raises(ReleaseBusy, match=f"is {status}: .*`helm {undo} -n space --kube-context ctx`"):
        await release.require_idle()


async def test_an_idle_release_passes(programs: Programs, release: Release) -> None:
    """Other releases of the namespace are nobody's business."""
    programs.answer("helm list", [{"name": "other", "status": "pending-upgrade"}])
    await release.require_idle()


async def test_the_tag_that_counts_is_the_last_one_that_was_deployed(programs: Programs, release: Release) -> None:
    """Not that of an upgrade which failed."""
    history = [{"revision": 1, "status": "superseded"}, {"revision": 2, "status": "deployed"}]
    programs.answer("helm history", [*history, {"revision": 3, "status": "failed"}])
    programs.answer("--revision=2", {"image": {"tag": "dev-abc"}})
    assert await release.deployed_tag() == "dev-abc"


async def test_a_release_that_is_not_there_has_no_tag(programs: Programs, release: Release) -> None:
    """As at the first deployment."""
    programs.answer("helm history", status=1, err="Error: release: not found")
    assert await release.deployed_tag() is None


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (2, [(1, "superseded"), (2, "deployed")], "Nothing was changed."),
        (0, [(1, "failed")], "When that is mended, deploy again."),
        (
            3,
            [(1, "superseded"), (2, "deployed"), (3, "failed"), (4, "failed")],
            f"When that is mended, deploy again; or go back to what worked: `helm rollback engine 2 {WHERE}`.",
        ),
    ],
)
async def test_after_a_failure_the_way_back_is_told(
    programs: Programs, release: Release, before: int, now: list[tuple[int, str]], told: str
) -> None:
    """Without a number Helm would go back to the revision before, which may have failed too."""
    programs.answer("helm history", [{"revision": number, "status": status} for number, status in now])
    assert await release.way_back(before) == told


def test_a_values_file_that_is_missing_is_named(release: Release) -> None:
    """Before anything is changed."""
    with pytest.raises(StackError, match=r"^VALUES=/none/at/all cannot be read"):
        require_files(replace(release, values=(*release.values, Path("/none/at/all"))))
