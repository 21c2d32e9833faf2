"""What operators may expect of the images: small, confined, without tools, and together a system that works."""

import asyncio
import gzip
import io
import json
import logging
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from images.containers import JAEGER_IMAGE, SERVICES, running_system
from support.backends import POSTGRES_IMAGE, VALKEY_IMAGE, obstacle_to_docker
from support.waiting import eventually

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
BASE = "python:3.13-slim"

# The first to come builds, which takes a minute or two.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def images() -> Mapping[str, str]:
    """Build the images from the working tree; return their names by service."""
    if obstacle := obstacle_to_docker(BASE, POSTGRES_IMAGE, VALKEY_IMAGE, JAEGER_IMAGE):
        pytest.skip(f"images can neither be built nor run here, since {obstacle}")
    subprocess.run(["make", "images", "TAG=tested"], cwd=ROOT, check=True, capture_output=True)
    return {service: f"order-engine-{service}:tested" for service in SERVICES}


def inspected(image: str) -> dict[str, Any]:
    answer = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True)
    return json.loads(answer.stdout)[0]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_adds_little_to_its_base(images: Mapping[str, str], service: str) -> None:
    """At most 140 MB unpacked, and 45 MB compressed as a registry would send it."""
    image = images[service]
    base = inspected(BASE)
    added = inspected(image)["Size"] - base["Size"]
    compressed = compressed_bytes(image, without=len(base["RootFS"]["Layers"]))
    log.info("%s: %.0f MB, compressed %.0f MB above %s", service, added / 1e6, compressed / 1e6, BASE)
    assert added <= 140e6
    assert compressed <= 45e6


def compressed_bytes(image: str, without: int) -> int:
    """Return the size of an image's layers, gzipped, but for the first ones."""
    with tempfile.TemporaryFile() as saved:
        subprocess.run(["docker", "save", image], check=True, stdout=saved)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as archive:
            manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())[0]
            layers = [archive.extractfile(name) for name in manifest["Layers"][without:]]
            return sum(len(gzip.compress(layer.read(), 6)) for layer in layers if layer)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is_and_runs_as_nobody(images: Mapping[str, str], service: str) -> None:
    """The labels of the Open Container Initiative, a user by number, an entry without a shell."""
    config = inspected(images[service])["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == f"order-engine-{service}"
    assert labels["version"] == "tested"
    assert {"description", "licenses", "revision"} <= labels.keys()
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][:2] == ["python", "-m"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_nothing_that_builds_or_installs(images: Mapping[str, str], service: str) -> None:
    """Whoever breaks into a pod finds no compiler and no package installer of Python's."""
    tools = "for tool in uv pip pip3 cc gcc make git; do command -v $tool; done; python -c 'import pip' 2>&1"
    command = ["docker", "run", "--rm", "--entrypoint", "sh", images[service], "-c", tools]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1:] == ["ModuleNotFoundError: No module named 'pip'"]
    assert not [line for line in found.stdout.splitlines() if line.startswith("/")]


async def test_the_images_are_a_system(images: Mapping[str, str]) -> None:
    """Confined as in the cluster: an order comes to `confirmed`, its trace spans all three, and all stop when asked."""
    with running_system(images) as system:
        async with aiohttp.ClientSession() as session:
            api = system.url("api", 3000)
            for name in SERVICES:
                await eventually(partial(answers, session, f"{system.url(name, 9464)}/readyz"))
            order = await place(session, api)
            done = await eventually(lambda: finished(session, f"{api}/api/orders/{order['orderId']}"))
            assert done["status"] == "confirmed", json.dumps(done)
            trace = f"{system.url('jaeger', 16686)}/api/traces/{order['traceId']}"
            await eventually(lambda: spans_all_services(session, trace, order["orderId"]))
        stopped = await asyncio.gather(*(asyncio.to_thread(system.stop, name) for name in SERVICES))
        assert stopped == [0, 0, 0], [system.log(name) for name in SERVICES]


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def place(session: aiohttp.ClientSession, api: str) -> dict[str, Any]:
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5", "slippageBps": 500}
    async with session.post(f"{api}/api/orders/execute", json=body) as response:
        assert response.status == 202, await response.text()
        return await response.json()


async def finished(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    async with session.get(url) as response:
        order = await response.json()
    return order if order["status"] in ("confirmed", "failed") else None


async def spans_all_services(session: aiohttp.ClientSession, url: str, order_id: str) -> bool:
    """Tell whether a trace has spans of every service by now, the worker's with the order's id."""
    async with session.get(url) as response:
        if response.status != 200:
            return False
        (trace,) = (await response.json())["data"]
    tags: dict[str, set[str]] = {}
    for span in trace["spans"]:
        service = trace["processes"][span["processID"]]["serviceName"]
        tags.setdefault(service, set()).update(str(tag["value"]) for tag in span["tags"])
    return {"engine-api", "engine-worker", "mockdex"} <= tags.keys() and order_id in tags["engine-worker"]
