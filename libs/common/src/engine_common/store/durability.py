"""Whether a commit, once answered, survives: asked of the server at the start of every service that answers for one."""

import logging

from engine_common.errors import EngineError
from engine_common.store import statements
from engine_common.store.pool import Connection

log = logging.getLogger(__name__)

# With these PostgreSQL answers before the commit is on its own disk, or on a standby's that it waits for otherwise.
_FORGETFUL = frozenset({"off", "local"})


class CommitsNotDurable(EngineError):
    """PostgreSQL answers commits that a crash or a failover may take back."""


async def check(connection: Connection, *, production: bool) -> None:
    """Make sure that commits last: warn otherwise, and raise CommitsNotDurable in production.

    Asynchronous standbys alone are only warned of: one node on durable storage is a choice, and cannot be told apart.
    """
    cursor = await connection.execute(statements.READ_DURABILITY)
    synchronous_commit, standbys, synchronous = await cursor.fetchone() or ("on", 0, 0)
    if synchronous_commit in _FORGETFUL:
        message = f"synchronous_commit is {synchronous_commit}: an order that was accepted may be lost; set it to on"
        if production:
            raise CommitsNotDurable(message)
        log.warning("%s", message)
    elif standbys and not synchronous:
        log.warning("all %d standbys are asynchronous: a failover may lose orders that were accepted", standbys)
