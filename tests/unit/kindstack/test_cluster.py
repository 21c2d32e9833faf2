import pytest
import yaml

from kindstack.cluster import CONFIG, KindCluster, config_with_port
from kindstack.faults import ClusterUnusable
from kindstack.settings import KindSettings

from .conftest import Programs


def container(name: str, port: int | None, *, running: bool = True) -> dict[str, object]:
    bindings = {"30080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]} if port else None
    return {"Name": f"/{name}", "State": {"Running": running}, "HostConfig": {"PortBindings": bindings}}


def cluster(port: int = 8080) -> KindCluster:
    return KindCluster(KindSettings(kind_cluster="order-engine", kind_http_port=port))


def test_the_ingress_is_published_on_the_chosen_port_of_this_machine_alone() -> None:
    """Everything else of the file stays."""
    before = yaml.safe_load(CONFIG.read_text())
    after = yaml.safe_load(config_with_port(CONFIG.read_text(), "mine", 9090))
    (mapping,) = after["nodes"][0]["extraPortMappings"]
    assert mapping == {"containerPort": 30080, "hostPort": 9090, "listenAddress": "127.0.0.1"}
    assert after["name"] == "mine"
    mapping["hostPort"] = before["nodes"][0]["extraPortMappings"][0]["hostPort"]
    assert {**after, "name": before["name"]} == before


async def test_in_a_new_cluster_kube_proxy_has_a_share_of_the_cores(programs: Programs) -> None:
    """Without one, new connections went to an ingress pod that was gone while its node was drained."""
    await cluster().create()
    (create,) = [number for number, call in enumerate(programs.calls) if call.startswith("kind create cluster")]
    (share,) = [number for number, call in enumerate(programs.calls) if "set resources daemonset/kube-proxy" in call]
    assert create < share


async def test_a_cluster_published_on_another_port_is_left_alone(programs: Programs) -> None:
    """The port cannot be changed, so the person decides."""
    programs.answer("kind get nodes", "c-control-plane")
    programs.answer("docker container inspect", [container("c-control-plane", 8080)])
    with pytest.raises(
        ClusterUnusable, match="published on port 8080, not 9090: set KIND_HTTP_PORT=8080, or remove it"
    ):
        await cluster(9090).wake()


async def test_a_cluster_that_somebody_else_made_is_left_alone(programs: Programs) -> None:
    """It has no port for the ingress."""
    programs.answer("kind get nodes", "c-control-plane")
    programs.answer("docker container inspect", [container("c-control-plane", None)])
    with pytest.raises(ClusterUnusable, match="was not made by `make kind-up`"):
        await cluster().wake()


async def test_nodes_that_were_stopped_are_started_again(programs: Programs) -> None:
    """As after a restart of the machine."""
    programs.answer("kind get nodes", "c-control-plane\nc-worker")
    nodes = [container("c-control-plane", 8080), container("c-worker", None, running=False)]
    programs.answer("docker container inspect", nodes)
    programs.answer("get-contexts", "kind-order-engine")
    programs.answer("config view", {"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}]})
    assert await cluster().wake()
    assert "docker start c-worker" in programs.calls
    assert not any("export kubeconfig" in call for call in programs.calls)
    assert any("set resources daemonset/kube-proxy" in call for call in programs.calls)  # older clusters lack it


async def test_a_cluster_that_could_not_be_made_leaves_nothing(programs: Programs) -> None:
    """And the reason is kind's own, with what to do."""
    programs.answer(
        "kind create", status=1, err='ERROR: failed to create cluster: failed to pull image "kindest/node:v9"'
    )
    with pytest.raises(ClusterUnusable) as raised:
        await cluster().create()
    assert str(raised.value) == (
        'kind could not create the cluster (failed to pull image "kindest/node:v9"): set KIND_NODE_IMAGE to a node '
        "image that can be had, then try again."
    )
    assert programs.calls[-1] == "kind delete cluster --name order-engine"


async def test_a_cluster_that_somebody_made_in_the_same_moment_is_not_removed(programs: Programs) -> None:
    """It is theirs."""
    programs.answer("kind create", status=1, err="ERROR: failed to create cluster: node(s) already exist for a cluster")
    with pytest.raises(ClusterUnusable):
        await cluster().create()
    assert not any("kind delete" in call for call in programs.calls)


@pytest.mark.parametrize(("others", "removed"), [("", True), ("f00", False)])
async def test_the_network_goes_with_the_last_cluster(programs: Programs, others: str, *, removed: bool) -> None:
    """Another cluster's containers keep it."""
    programs.answer("docker ps --all --quiet --filter network=kind", others)
    programs.answer("docker network ls", "abc")
    await cluster().delete()
    assert ("docker network rm kind" in programs.calls) is removed
