"""What `make kind-up` leaves: admitted, ready, serving orders through the ingress, traced, and removable."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cluster.deployed import SECRET, Deployed
from cluster.helm import Release
from cluster.kubernetes import Kubernetes
from cluster.traces import spans_of
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

COMPONENTS = ("api", "worker", "mockdex", "postgres", "valkey", "jaeger")
# Small enough for two nodes that hold another release already; without an ingress, whose host belongs to that one.
MODEST = {"resources": {"requests": {"cpu": "10m"}}}
OF_EVERY_NAMESPACE = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}


async def confirmed_order(url: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Place an order by REST and follow it by WebSocket to its end; return both."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/orders/execute", json=ORDER) as response:
            assert response.status == 202, await response.text()
            order = await response.json()
        async with session.ws_connect(f"{url}/ws/orders/{order['orderId']}") as socket:
            events = [json.loads(message.data) async for message in socket]
            assert socket.close_code == 1000
    return order, events


async def assert_admitted_and_ready(kubernetes: Kubernetes) -> None:
    namespace = await kubernetes.get("namespace", kubernetes.namespace)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for component in COMPONENTS:
        pods = await kubernetes.pods(component)
        assert pods, component
        assert all(pod.ready for pod in pods), pods
    refused = await kubernetes.get("events", "--field-selector", "reason=FailedCreate")
    assert [event["message"] for event in refused["items"] if "PodSecurity" in event["message"]] == []


async def test_every_pod_is_admitted_under_restricted_and_ready(deployed: Deployed) -> None:
    """The namespace enforces it, so that no pod could be there that breaks it; and none was refused on the way."""
    await assert_admitted_and_ready(deployed.kubernetes)


async def test_standing_up_again_changes_nothing(deployed: Deployed) -> None:
    """`make kind-up`, twice: the same revision, and the same pods."""
    await deployed.stand_up()  # other tests leave revisions of their own
    before = await what_runs(deployed)
    await deployed.stand_up()
    assert await what_runs(deployed) == before


async def what_runs(deployed: Deployed) -> tuple[int, set[str]]:
    pods = [pod for component in COMPONENTS for pod in await deployed.kubernetes.pods(component)]
    return await deployed.release.revision(), {pod.uid for pod in pods}


async def test_an_order_through_the_ingress_is_followed_to_its_end_and_traced_across_three_services(
    deployed: Deployed,
) -> None:
    """One trace id, told with the order, for spans of api, worker and mock DEX; the order's id stands in it."""
    order, events = await confirmed_order(deployed.url)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["status"] in ("confirmed", "failed")  # the mock DEX fails some swaps, as chains do

    trace_id = str(order["traceId"])

    async def traced() -> bool:
        spans = await spans_of(deployed.jaeger_url, trace_id)
        of_order = [span for span in spans if order["orderId"] in span.attributes.values()]
        assert all(span.trace_id == trace_id for span in spans)
        return bool(of_order) and {span.service for span in spans} >= {"engine-api", "engine-worker", "mockdex"}

    await eventually(traced)


async def test_the_charts_own_test_passes_and_leaves_no_pod(deployed: Deployed) -> None:
    """`helm test` places an order through the Service, follows it and finds its trace."""
    await deployed.release.test()
    assert await deployed.kubernetes.pods("test") == []


@pytest.fixture
async def elsewhere(deployed: Deployed) -> AsyncIterator[Kubernetes]:
    """Lend a namespace that is not there yet, and remove it."""
    kubernetes = Kubernetes(deployed.kubernetes.context, "installed-from-empty")
    yield kubernetes
    await kubernetes.kubectl("delete", "namespace", kubernetes.namespace, "--ignore-not-found", "--timeout=120s")


async def test_a_release_is_installed_from_empty_and_leaves_only_its_volumes_and_its_secret(
    deployed: Deployed, elsewhere: Kubernetes, tmp_path: Path
) -> None:
    """`make deploy` to a new namespace: admitted under restricted, ready, tested; then `helm uninstall`."""
    release = Release(elsewhere.context, elsewhere.namespace, deployed.release.name)
    given = await deployed.release.values()
    modest = {component: {**given.get(component, {}), **MODEST} for component in COMPONENTS}
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({**given, **modest, "ingress": {"enabled": False}}))
    environ = {"NAMESPACE": elsewhere.namespace, "VALUES": str(values), "TAG": given["image"]["tag"]}
    await deployed.deploy(tmp_path, environ)
    await assert_admitted_and_ready(elsewhere)
    await release.test()

    await release.uninstall()
    # Helm does not wait for the pods' end.
    left = await eventually(lambda: without_pods(elsewhere))
    volumes = {name for name in left if name.startswith("PersistentVolumeClaim/")}
    assert volumes
    assert left - volumes - OF_EVERY_NAMESPACE == {f"Secret/{SECRET}"}


async def without_pods(kubernetes: Kubernetes) -> set[str] | None:
    """Return the kinds and names of all that is in a namespace, once no pod is."""
    found = await kubernetes.get("all,ingress,configmap,secret,serviceaccount,networkpolicy,pdb,hpa,pvc")
    kinds = [each["kind"] for each in found["items"]]
    return None if "Pod" in kinds else {f"{each['kind']}/{each['metadata']['name']}" for each in found["items"]}
