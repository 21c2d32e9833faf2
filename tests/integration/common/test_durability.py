"""Whether a commit that was answered survives: refused in production where it need not, warned of elsewhere."""

from collections.abc import AsyncIterator

import pytest

from engine_common.store import durability
from engine_common.store.pool import Connection, Pool


@pytest.fixture
async def connection(shared_pool: Pool) -> AsyncIterator[Connection]:
    async with shared_pool.connection() as lent:
        yield lent
        await lent.execute("RESET synchronous_commit")


@pytest.mark.parametrize("forgetful", ["off", "local"])
async def test_production_refuses_commits_that_are_answered_before_they_are_kept(
    connection: Connection, forgetful: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Development is warned and goes on."""
    await connection.execute("SELECT set_config('synchronous_commit', %s, false)", (forgetful,))
    with pytest.raises(durability.CommitsNotDurable, match=f"synchronous_commit is {forgetful}"):
        await durability.check(connection, production=True)
    await durability.check(connection, production=False)
    assert "may be lost" in caplog.text


@pytest.mark.parametrize("durable", ["on", "remote_write", "remote_apply"])
async def test_one_node_on_durable_storage_is_a_choice(
    connection: Connection, durable: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said where nothing is wrong."""
    await connection.execute("SELECT set_config('synchronous_commit', %s, false)", (durable,))
    await durability.check(connection, production=True)
    assert caplog.text == ""
