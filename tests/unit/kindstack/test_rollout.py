import time
from collections.abc import Callable
from io import StringIO
from itertools import count

import pytest
from rich.console import Console

from kindstack.faults import RolloutFailed
from kindstack.kubectl import Kubectl
from kindstack.progress import Steps
from kindstack.release import CHART, Release
from kindstack.rollout import Rollout

from .conftest import Programs

READY = {"metadata": {"name": "api-1", "uid": "1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
PENDING = {
    "metadata": {"name": "api-2", "uid": "2"},
    "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "2 Insufficient memory."}]},
}


async def roll_out(clock: Callable[[], float] = time.monotonic) -> str:
    output = StringIO()
    release = Release(Kubectl("ctx"), "engine", "space", None, None, "1.2", 60, CHART)
    with Steps(Console(file=output, width=200)) as steps, steps.step("release") as step:
        await Rollout(release, steps.say, clock).run(step)
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
        "Helm could not deploy: UPGRADE FAILED: values don't meet the specifications: - at '/api': 'x' not allowed."
    )


async def test_what_does_not_heal_is_not_waited_for(programs: Programs) -> None:
    """Helm alone would wait until its time-out for an image that is nowhere; it is stopped instead."""
    waiting = {"reason": "ErrImagePull", "message": "pull access denied: not found"}
    lacking = {"name": "api", "image": "order-engine-api:x", "state": {"waiting": waiting}}
    pod = {"metadata": {"name": "api-3", "uid": "3"}, "status": {"containerStatuses": [lacking]}}
    programs.answer("get pods", {"items": [READY, pod]})
    programs.answer("get events", {"items": []})
    programs.answer("helm upgrade", delay_s=90)
    clock = count(step=60.0)
    with pytest.raises(
        RolloutFailed, match=r"^Pod api-3 .*cannot get the image order-engine-api:x \(the registry does not"
    ):
        await roll_out(lambda: next(clock))
