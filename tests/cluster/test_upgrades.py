"""Upgrades under load: all pods are replaced, schemas move forward, and what fails leaves the old version serving."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from psycopg import AsyncConnection

from cluster.commands import CommandFailed
from cluster.deployed import Deployed
from cluster.derived_images import load_next_version
from cluster.drill import drill
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

COMPONENTS = ("api", "worker", "mockdex")
MIGRATION = "SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN of_a_drill text;\n"
BROKEN_MIGRATION = "ALTER TABLE there_is_no_such_table ADD COLUMN of_a_drill text;\n"
NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"}
FORGET = """
ALTER TABLE orders DROP COLUMN IF EXISTS of_a_drill;
DELETE FROM _yoyo_migration WHERE migration_id = '9999_of_a_drill';
"""
HAS_COLUMN = """
SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'of_a_drill'
"""


async def uids(deployed: Deployed, *components: str) -> set[str]:
    """Return who runs now and is to stay."""
    found = [pod for component in components for pod in await deployed.kubernetes.pods(component)]
    return {pod.uid for pod in found if not pod.stopping}


async def images_that_cannot_be_had(deployed: Deployed, tag: str) -> list[str]:
    """Return the images with this tag that pods are waiting for in vain."""
    found = await deployed.kubernetes.get("pods")
    states = [
        state
        for pod in found["items"]
        for kind in ("initContainerStatuses", "containerStatuses")
        for state in pod["status"].get(kind, ())
    ]
    lacking = [state for state in states if state["state"].get("waiting", {}).get("reason") in NO_IMAGE]
    return [state["image"] for state in lacking if state["image"].endswith(f":{tag}")]


async def query(deployed: Deployed, statement: str) -> int:
    async with (
        deployed.opened() as (database_url, _),
        await AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        cursor = await connection.execute(statement.encode())
        row = await cursor.fetchone() if cursor.description else None
    return int(row[0]) if row else 0


@asynccontextmanager
async def restored(deployed: Deployed) -> AsyncIterator[int]:
    """Lend the number of the revision that is deployed, and come back to it, schema included."""
    revision, values = await deployed.release.revision(), await deployed.release.values()
    try:
        yield revision
    finally:
        if await deployed.release.values() != values:
            await deployed.release.rollback(revision)
        await query(deployed, FORGET)


async def test_all_deployments_are_rolled_forth_and_back_under_load(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """An upgrade that touches every pod template, and its rollback: no request fails, no order is lost or doubled."""
    name = new_name("roll")
    before = await uids(deployed, *COMPONENTS)
    async with restored(deployed) as revision:

        async def act() -> None:
            await deployed.release.upgrade(*(f"{component}.podAnnotations.drill={name}" for component in COMPONENTS))
            between = await uids(deployed, *COMPONENTS)
            assert not before & between
            await deployed.release.rollback(revision)
            assert not between & await uids(deployed, *COMPONENTS)

        verdict = await drill(deployed.site, name, act)
    assert verdict.clean, str(verdict)
    assert verdict.reconnections, "no socket was open on a pod that went: nobody had to resume"


async def test_a_new_migration_is_applied_under_load_and_the_old_version_runs_on_the_new_schema(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """Old and new pods run side by side; when it is rolled back, the old migrator is content with a newer schema."""
    name = new_name("schema")
    await load_next_version(deployed, name, MIGRATION)
    async with restored(deployed) as revision:

        async def act() -> None:
            await deployed.release.upgrade(f"image.tag={name}")
            assert await query(deployed, HAS_COLUMN) == 1
            await deployed.release.rollback(revision)
            assert await query(deployed, HAS_COLUMN) == 1

        verdict = await drill(deployed.site, name, act)
    assert verdict.clean, str(verdict)


async def test_a_failing_migration_leaves_the_old_version_serving_and_a_good_upgrade_follows(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """The error names the Job; api and workers are the same pods as before, and no request fails."""
    name = new_name("broken")
    before = await uids(deployed, "api", "worker")
    await load_next_version(deployed, name, BROKEN_MIGRATION)
    async with restored(deployed):

        async def act() -> None:
            with pytest.raises(CommandFailed, match=r"-migrate-\d"):
                await deployed.release.upgrade(f"image.tag={name}", within_s=60)
            assert before <= await uids(deployed, "api", "worker")

        verdict = await drill(deployed.site, name, act)
    assert verdict.clean, str(verdict)
    assert await uids(deployed, "api", "worker") == before


async def test_an_image_that_does_not_exist_leaves_the_old_version_serving_and_a_good_upgrade_follows(
    deployed: Deployed, new_name: Callable[[str], str]
) -> None:
    """The mock DEX alone is away meanwhile, since there can be only one: orders wait for it or fail, none is lost."""
    name = new_name("missing")
    before = await uids(deployed, "api", "worker")
    async with restored(deployed) as revision:

        async def act() -> None:
            with pytest.raises(CommandFailed):
                await deployed.release.upgrade(f"image.tag={name}", within_s=20)
            await eventually(lambda: images_that_cannot_be_had(deployed, name))
            assert before <= await uids(deployed, "api", "worker")
            await deployed.release.rollback(revision)

        verdict = await drill(deployed.site, name, act, rate=10)
    assert verdict.clean, str(verdict)
