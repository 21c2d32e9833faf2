"""Images of the release: built, tagged by their content, and brought to the nodes that lack them."""

import asyncio
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import yaml

from kindstack.documents import Document, part, parts, text
from kindstack.faults import ImageMissing, ProgramFailed
from kindstack.programs import run

ROOT = Path(__file__).parents[3]
OURS = ("order-engine-api", "order-engine-worker", "order-engine-mockdex")
DEVELOPMENT = "dev-"
_DATA_LABEL = "order-engine/data"
# A tag or registry that somebody set is of the images to deploy, not of what is built here.
_NOT_FOR_THE_BUILD = frozenset({"TAG", "REGISTRY", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"})


async def build() -> str:
    """Build our images, and return the development tag under which they now also stand: the same content, the same tag.

    Raises ProgramFailed.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_THE_BUILD}
    printed = await run("make", "--no-print-directory", "-C", str(ROOT), "images", environ=environ)
    built = [line.removeprefix("built ") for line in printed.splitlines() if line.startswith("built ")]
    documents = json.loads(await run("docker", "image", "inspect", *built))
    tag = content_tag(documents)
    for name in built:
        await run("docker", "tag", name, f"{name.rpartition(':')[0]}:{tag}")
    return tag


def content_tag(images: Iterable[Document]) -> str:
    """Return a tag for inspected images that says what runs in them; labels, such as a commit's, are no part of it."""
    contents = [
        {
            "layers": image["RootFS"]["Layers"],
            "config": {
                key: value for key, value in image["Config"].items() if key not in {"Labels", "Image", "Hostname"}
            },
        }
        for image in images
    ]
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return f"{DEVELOPMENT}{digest[:12]}"


def placements(manifests: str) -> dict[str, bool]:
    """Return the images of all pods in rendered manifests, each with whether it runs on the data node alone."""
    found: dict[str, bool] = {}
    for document in yaml.safe_load_all(manifests):
        for pod in _pod_specs(document):
            bound = _DATA_LABEL in part(pod, "nodeSelector")
            for container in [*parts(pod, "containers"), *parts(pod, "initContainers")]:
                image = text(container, "image")
                found[image] = bound and found.get(image, True)
    return found


def _pod_specs(document: object) -> Iterable[Document]:
    if isinstance(document, dict):
        found = cast("dict[str, object]", document)
        if isinstance(found.get("containers"), list):
            yield found
        else:
            for value in found.values():
                yield from _pod_specs(value)


def full_name(image: str) -> str:
    """Return the name as a node keeps it: with registry and tag."""
    head, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif head != "localhost" and not {".", ":"} & set(head):
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


async def load(cluster: str, wanted: Mapping[str, Iterable[str]], *, required: Collection[str] = ()) -> int:
    """Bring images to the nodes (name of a node: its images) that lack them; return how many were brought.

    Those that go to the same nodes go together: layers that they share are then copied once.
    Those that Docker does not have are left for the node to pull, unless they are required: then raises ImageMissing.
    """
    here = await _in_docker(sorted({image for images in wanted.values() for image in images}))
    if lacking := sorted(set(required) - here):
        raise ImageMissing(
            f"Docker has no image {', '.join(lacking)}: build it with `make images`, or leave TAG unset."
        )
    loads: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for node, images in wanted.items():
        missing = here & set(images) - await _on_node(node, images)
        if missing:
            loads[missing].append(node)
    await asyncio.gather(
        *(
            run("kind", "load", "docker-image", *sorted(images), "--name", cluster, "--nodes", ",".join(nodes))
            for images, nodes in loads.items()
        )
    )
    return len({image for images in loads for image in images})


async def untag(tag: str) -> None:
    """Remove a development tag from Docker, once the nodes have the images."""
    await run("docker", "image", "rm", "--no-prune", *(f"{name}:{tag}" for name in OURS))


async def _in_docker(images: Sequence[str]) -> frozenset[str]:
    async def has(image: str) -> bool:
        try:
            await run("docker", "image", "inspect", "--format", "{{.Id}}", image)
        except ProgramFailed:
            return False
        return True

    there = await asyncio.gather(*map(has, images))
    return frozenset(image for image, is_there in zip(images, there, strict=True) if is_there)


async def _on_node(node: str, images: Iterable[str]) -> frozenset[str]:
    listed = await run("docker", "exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet")
    names = set(listed.split())
    return frozenset(image for image in images if full_name(image) in names)
