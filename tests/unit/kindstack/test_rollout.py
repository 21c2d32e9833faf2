import time
from collections.abc import Callable
from io import StringIO
from itertools import count
from typing import Any

import pytest
from rich.console import Console

from kindstack.faults import RolloutFailed
from kindstack.kubectl import Kubectl
from kindstack.progress import Steps
from kindstack.release import CHART, Release
from kindstack.rollout import Rollout
from kindstack.standing_up import VALUES

from .conftest import Programs

READY = {"metadata": {"name": "api-1", "uid": "1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
PENDING = {
    "metadata": {"name": "api-2", "uid": "2"},
    "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "2 Insufficient memory."}]},
}


NO_IMAGE = r"^Pod api-3 .*cannot get the image order-engine-api:x \(the registry does not"


def component(pod: dict[str, Any], name: str = "api") -> dict[str, Any]:
    return {**pod, "metadata": {**pod["metadata"], "labels": {"app.kubernetes.io/component": name}}}


def of_api(uid: str, **container: Any) -> dict[str, Any]:
    statuses = [{"name": "api", "image": "order-engine-api:x", **container}]
    return component({"metadata": {"name": f"api-{uid}", "uid": uid}, "status": {"containerStatuses": statuses}})


def without_image(uid: str = "3") -> dict[str, Any]:
    return of_api(uid, state={"waiting": {"reason": "ImagePullBackOff", "message": "pull access denied: not found"}})


def crashing(restarts: int) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 3}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    return of_api("4", state=waiting, lastState=ended, restartCount=restarts) if restarts else of_api("4", state=ended)


def failed(count: int, message: str = "Failed to pull image") -> dict[str, Any]:
    metadata = {"uid": message}
    return {
        "metadata": metadata,
        "reason": "Failed",
        "message": message,
        "count": count,
        "involvedObject": {"uid": "3"},
    }


def minutes() -> Callable[[], float]:
    """Return a clock on which every look is more than a minute later."""
    clock = count(step=100.0)
    return lambda: next(clock)


@pytest.fixture(autouse=True)
def first_revision(programs: Programs) -> None:
    programs.answer("helm history", status=1, err="Error: release: not found")


async def roll_out(clock: Callable[[], float] = time.monotonic) -> str:
    output = StringIO()
    release = Release(Kubectl("ctx"), "engine", "space", (VALUES,), None, "1.2", 60, CHART)
    with Steps(Console(file=output, width=200)) as steps, steps.step("release") as step:
        await Rollout(release, steps.say, clock, every_s=0.1).run(step)
    return output.getvalue()


async def test_a_release_that_becomes_ready_says_so(programs: Programs) -> None:
    """With the time it took."""
    programs.answer("get pods", {"items": [READY]})
    programs.answer("get events", {"items": []})
    assert "✓ release engine is ready" in await roll_out()


async def test_when_helm_has_waited_in_vain_the_pods_are_named(programs: Programs) -> None:
    """Helm's own words name an object and no reason."""
    programs.answer("get pods", {"items": [READY, PENDING]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", status=1, err="Error: UPGRADE FAILED: context deadline exceeded")
    with pytest.raises(RolloutFailed) as raised:
        await roll_out()
    assert str(raised.value).splitlines() == [
        "Not everything is ready after 60 s:",
        "Pod api-2 fits on no node (2 Insufficient memory): lower `resources.requests` in the values, or add a node.",
    ]


async def test_what_helm_refuses_is_told_in_its_words_alone(programs: Programs) -> None:
    """A pod that was not ready before has nothing to do with it."""
    programs.answer("get pods", {"items": [PENDING]})
    programs.answer("get events", {"items": []})
    said = "level=WARN\nError: UPGRADE FAILED: values don't meet the specifications:\n- at '/api': 'x' not allowed"
    programs.answer("helm upgrade", status=1, err=said)
    with pytest.raises(RolloutFailed) as raised:
        await roll_out()
    assert str(raised.value) == (
        f"Helm could not deploy (values of {VALUES}): UPGRADE FAILED: values don't meet the specifications: "
        "- at '/api': 'x' not allowed."
    )


async def test_what_does_not_heal_is_not_waited_for(programs: Programs) -> None:
    """Helm alone would wait until its time-out for an image that is nowhere; it is stopped instead."""
    programs.answer("get pods", {"items": [READY]}, times=1)
    programs.answer("get pods", {"items": [READY, without_image()]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=90)
    with pytest.raises(RolloutFailed, match=NO_IMAGE):
        await roll_out(minutes())


async def test_a_cluster_that_does_not_answer_for_a_moment_is_asked_again(programs: Programs) -> None:
    """Helm, which is at work, is not stopped because of it."""
    programs.answer("get pods", {"items": [READY]}, times=1)
    programs.answer("get pods", status=1, err="The connection to the server was refused", times=2)
    programs.answer("get pods", {"items": [READY]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=3)
    assert "✓ release engine is ready" in await roll_out(minutes())
    assert sum("get pods" in call for call in programs.calls) > 2


async def test_helms_words_are_told_though_the_cluster_does_not_answer_any_more(programs: Programs) -> None:
    """What pods wait for cannot be known then."""
    programs.answer("get pods", {"items": [READY]}, times=1)
    programs.answer("get pods", status=1, err="The connection to the server was refused")
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", status=1, err="Error: UPGRADE FAILED: context deadline exceeded")
    with pytest.raises(RolloutFailed, match=r"^Helm could not deploy .*: UPGRADE FAILED: context deadline exceeded\.$"):
        await roll_out()


async def test_what_an_earlier_revision_left_broken_does_not_stop_its_mending(programs: Programs) -> None:
    """Its pod goes when the new one is ready, which may take longer than an image is waited for."""
    programs.answer("get pods", {"items": [without_image("wrong")]}, times=1)
    programs.answer("get pods", {"items": [without_image("wrong"), component(PENDING)]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=3)
    said = await roll_out(minutes())
    assert "✓ release engine is ready" in said
    assert "fits on no node" in said
    assert "wrong" not in said


async def test_a_broken_pod_that_nothing_replaces_is_given_time_to_heal(programs: Programs) -> None:
    """Its image is there by now, perhaps, and the kubelet tries again only after minutes."""
    programs.answer("get pods", {"items": [without_image()]})
    programs.answer("get events", {"items": [failed(1)]}, times=1)
    programs.answer("get events", {"items": [failed(1), failed(1, "Error: ImagePullBackOff")]})
    programs.answer("helm upgrade", delay_s=3)
    said = await roll_out(minutes())
    assert "✓ release engine is ready" in said
    assert "… Pod api-3 (container api) cannot get the image" in said


async def test_a_broken_pod_that_nothing_replaces_and_that_fails_again_is_not_waited_for(programs: Programs) -> None:
    """The same was deployed once more."""
    programs.answer("get pods", {"items": [without_image()]})
    programs.answer("get events", {"items": [failed(1)]}, times=1)
    programs.answer("get events", {"items": [failed(2)]})
    programs.answer("helm upgrade", delay_s=90)
    with pytest.raises(RolloutFailed, match=NO_IMAGE):
        await roll_out(minutes())


@pytest.mark.parametrize(("restarts", "stopped"), [(4, False), (5, True)])
async def test_a_crashing_pod_that_nothing_replaces_counts_when_it_has_crashed_again(
    programs: Programs, restarts: int, *, stopped: bool
) -> None:
    """What it needed may be there now, and it is started again only after minutes."""
    programs.answer("get pods", {"items": [crashing(4)]}, times=1)
    programs.answer("get pods", {"items": [crashing(restarts)]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=90 if stopped else 3)
    if stopped:
        with pytest.raises(RolloutFailed, match=r"^Pod api-4 \(container api\) stops with exit code 3"):
            await roll_out(minutes())
    else:
        assert "✓ release engine is ready" in await roll_out(minutes())


async def test_pods_that_failed_for_good_and_were_replaced_stop_nothing(programs: Programs) -> None:
    """A node that shuts down leaves them, and so does a failed `helm test`."""
    left = crashing(0)
    programs.answer("get pods", {"items": [READY]}, times=1)
    programs.answer("get pods", {"items": [READY, {**left, "status": {**left["status"], "phase": "Failed"}}]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=3)
    assert "✓ release engine is ready" in await roll_out(minutes())


EVICTED = {"metadata": PENDING["metadata"], "status": {"phase": "Failed", "reason": "Evicted", "message": "no memory"}}


@pytest.mark.parametrize("pod", [PENDING, without_image(), EVICTED], ids=["pending", "without image", "evicted"])
async def test_a_test_pod_that_failed_is_not_blamed_for_a_rollout(programs: Programs, pod: dict[str, Any]) -> None:
    """`helm test` leaves it for its log, and no rollout replaces it."""
    programs.answer("get pods", {"items": [component(pod, "test")]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", status=1, err="Error: UPGRADE FAILED: context deadline exceeded")
    with pytest.raises(RolloutFailed, match=r"^Helm could not deploy") as raised:
        await roll_out()
    assert "Pod " not in str(raised.value)
