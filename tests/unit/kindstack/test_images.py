import pytest

from kindstack import images
from kindstack.faults import ImageMissing

from .conftest import Programs

MANIFESTS = """
kind: StatefulSet
spec:
  template:
    spec:
      nodeSelector: {order-engine/data: "true"}
      containers: [{name: postgres, image: "postgres:18"}]
---
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: wait, image: "order-engine-api:x"}]
      containers: [{name: api, image: "order-engine-api:x"}]
---
kind: Pod
spec:
  nodeSelector: {order-engine/data: "true"}
  containers: [{name: test, image: "order-engine-api:x"}]
---
kind: Service
spec: {ports: [{port: 1}]}
"""


def inspected(layer: str, *, revision: str = "a", environment: str = "A=1") -> dict[str, object]:
    config = {"Env": [environment], "Labels": {"org.opencontainers.image.revision": revision}}
    return {"Id": f"sha256:{layer}{revision}", "RootFS": {"Layers": [layer]}, "Config": config}


def test_the_same_content_has_the_same_tag_whatever_its_labels_say() -> None:
    """A commit that changes no image makes no new pods."""
    assert images.content_tag([inspected("l1", revision="a")]) == images.content_tag([inspected("l1", revision="b")])


@pytest.mark.parametrize("changed", [inspected("l2"), inspected("l1", environment="A=2")])
def test_what_runs_differently_has_another_tag(changed: dict[str, object]) -> None:
    """Other layers, or another configuration."""
    tag = images.content_tag([changed])
    assert tag != images.content_tag([inspected("l1")])
    assert tag.startswith("dev-")


def test_images_are_placed_where_their_pods_may_run() -> None:
    """On the data node alone when all pods that use them keep to it."""
    assert images.placements(MANIFESTS) == {"postgres:18": True, "order-engine-api:x": False}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("postgres:18", "docker.io/library/postgres:18"),
        ("postgres", "docker.io/library/postgres:latest"),
        ("jaegertracing/jaeger:2.13.0", "docker.io/jaegertracing/jaeger:2.13.0"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/order-engine-api:x", "localhost:5000/order-engine-api:x"),
    ],
)
def test_a_node_keeps_an_image_under_its_full_name(image: str, name: str) -> None:
    """As containerd does."""
    assert images.full_name(image) == name


async def test_only_what_a_node_lacks_is_loaded(programs: Programs) -> None:
    """Run twice, nothing is loaded again."""
    programs.answer("docker exec one", "docker.io/library/postgres:18\ndocker.io/library/traefik:v3.5")
    programs.answer("docker exec two", "docker.io/library/traefik:v3.5")
    wanted = {"one": ["postgres:18", "traefik:v3.5"], "two": ["traefik:v3.5"]}
    assert await images.load("c", wanted) == 0
    assert await images.load("c", {**wanted, "two": ["postgres:18", "traefik:v3.5"]}) == 1
    loads = [call for call in programs.calls if call.startswith("kind load")]
    assert loads == ["kind load docker-image postgres:18 --name c --nodes two"]


async def test_an_image_that_docker_does_not_have_is_left_to_the_node(programs: Programs) -> None:
    """It will pull it."""
    programs.answer("docker image inspect", status=1, err="No such image")
    assert await images.load("c", {"one": ["postgres:18"]}) == 0
    assert not any("kind load" in call for call in programs.calls)


async def test_our_own_image_must_be_there(programs: Programs) -> None:
    """No registry has it."""
    ours = "order-engine-api:1.2"
    programs.answer("docker image inspect", status=1, err="No such image")
    with pytest.raises(ImageMissing, match=r"^Docker has no image order-engine-api:1\.2: build it with `make images`"):
        await images.load("c", {"one": ["traefik:v3.5", ours]}, required=[ours])
