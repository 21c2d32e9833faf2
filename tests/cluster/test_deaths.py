"""What dies, or is taken away, under load costs no order, and no request where something else can answer."""

from collections.abc import Callable

import pytest

from cluster.deployed import Deployed
from cluster.drill import drill
from cluster.kubernetes import Kubernetes, Pod, kill_process
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

UNAVAILABLE = 503


async def replaced(kubernetes: Kubernetes, component: str, before: Pod, count: int) -> None:
    """Wait until a component is whole again, without that pod."""

    async def look() -> bool:
        pods = await kubernetes.ready_pods(component, count)
        return before.uid not in {pod.uid for pod in pods}

    await eventually(look, within_s=120)


async def test_a_worker_pod_deleted_by_force_costs_nothing(deployed: Deployed, new_name: Callable[[str], str]) -> None:
    """`--grace-period=0 --force`: its orders are taken over by the pod that replaces it."""
    kubernetes = deployed.kubernetes

    async def act() -> None:
        pod = (await kubernetes.pods("worker"))[0]
        await kubernetes.kubectl("delete", "pod", pod.name, "--grace-period=0", "--force")
        await replaced(kubernetes, "worker", pod, 1)

    verdict = await drill(deployed.site, new_name("force"), act)
    assert verdict.clean, str(verdict)


async def test_a_worker_process_killed_from_its_node_costs_nothing(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """SIGKILL: the kubelet starts the container again, and the orders are taken over."""
    kubernetes = deployed.kubernetes

    async def act() -> None:
        pod = (await kubernetes.pods("worker"))[0]
        await kill_process(pod, "worker")

        async def restarted() -> bool:
            after = next(each for each in await kubernetes.pods("worker") if each.uid == pod.uid)
            return after.ready and after.restarts > pod.restarts

        await eventually(restarted, within_s=120)

    verdict = await drill(deployed.site, new_name("kill"), act)
    assert verdict.clean, str(verdict)
    recovered = [event for events in verdict.evidence.events.values() for event in events if event.type == "recovered"]
    assert recovered, "no order was taken over: the process had none when it was killed"


async def test_the_node_without_volumes_is_drained_under_load(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """Api, a worker and the ingress move to the other node: no request fails, and sockets resume."""
    kubernetes, node = deployed.kubernetes, deployed.node_without_volumes
    movable = [(kubernetes, "api", 2), (kubernetes, "worker", 2), (deployed.ingress, "traefik", 2)]
    await kubernetes.scale("worker", 2)
    for where, component, count in movable:
        await spread_over(where, component, count, node)

    async def act() -> None:
        try:
            await kubernetes.kubectl(
                *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"), within_s=200
            )
            for where, component, count in movable:
                assert node not in {pod.node for pod in await where.ready_pods(component, count)}
        finally:
            await kubernetes.kubectl("uncordon", node)

    try:
        verdict = await drill(deployed.site, new_name("drain"), act)
    finally:
        for where, component, count in movable:
            await spread_over(where, component, count, node)
        await kubernetes.scale("worker", 1)
    assert verdict.clean, str(verdict)


async def spread_over(kubernetes: Kubernetes, component: str, count: int, node: str) -> None:
    """See to it that a component has a pod on a node: where it has none, the scheduler gets another chance."""

    async def look() -> bool:
        pods = await kubernetes.ready_pods(component, count)
        if node in {pod.node for pod in pods}:
            return True
        await kubernetes.kubectl("delete", "pod", pods[0].name)
        return False

    await eventually(look, within_s=180)


async def test_a_deleted_postgres_pod_costs_requests_and_no_order(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """While it is away creating answers 503 and nothing else; whatever was accepted comes to its end."""
    kubernetes = deployed.kubernetes

    async def act() -> None:
        pod = (await kubernetes.pods("postgres"))[0]
        await kubernetes.kubectl("delete", "pod", pod.name, "--timeout=120s")
        await replaced(kubernetes, "postgres", pod, 1)
        await kubernetes.ready_pods("api", 2)

    verdict = await drill(deployed.site, new_name("postgres"), act, after_s=10)
    assert verdict.exact, str(verdict)
    assert {failure.status for failure in verdict.failures} <= {UNAVAILABLE}, str(verdict)
