"""Images of the next version: ours with one more migration, on the nodes of a kind cluster."""

import tempfile
from pathlib import Path

from cluster.deployed import Deployed
from engine_common import __version__
from kindstack import images
from kindstack.programs import run

_MIGRATING = ("order-engine-api", "order-engine-worker")
_FIND = 'from importlib.resources import files; print(files("engine_common") / "migrations")'


async def load_next_version(deployed: Deployed, tag: str, migration: str) -> None:
    """Bring images of ours under a new tag to the nodes; their migrations end with the one given.

    Raises ProgramFailed.
    """
    for name in images.OURS:
        image, base = f"{name}:{tag}", f"{name}:{__version__}"
        if name in _MIGRATING:
            await _build(image, base, migration)
        else:
            await run("docker", "tag", base, image)
    built = [f"{name}:{tag}" for name in images.OURS]
    try:
        await images.load(deployed.cluster, dict.fromkeys(await deployed.nodes(), built), required=built)
    finally:
        await run("docker", "image", "rm", *built)


async def _build(image: str, base: str, migration: str) -> None:
    directory = (await run("docker", "run", "--rm", "--entrypoint", "python", base, "-c", _FIND)).strip()
    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "9999_of_a_drill.sql").write_text(migration)
        (Path(context) / "Dockerfile").write_text(f"FROM {base}\nCOPY 9999_of_a_drill.sql {directory}/\n")
        await run("docker", "build", "--quiet", "--tag", image, context)
