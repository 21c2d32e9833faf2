"""Whether a commit, once answered, survives, and whether the connection is the server's own: asked at every start."""

import logging

from engine_common.errors import EngineError
from engine_common.store import statements
from engine_common.store.pool import Connection

log = logging.getLogger(__name__)

# With these PostgreSQL answers before the commit is on its own disk, or on a standby's that it waits for otherwise.
_FORGETFUL = frozenset({"off", "local"})


class UnfitDatabase(EngineError):
    """The engine cannot be exact with this database; the message says why and what to change."""


class CommitsNotDurable(UnfitDatabase):
    """PostgreSQL answers commits that a crash or a failover may take back."""


class PoolerBetween(UnfitDatabase):
    """The connection ends at a pooler that shares the server's sessions among clients (ADR 13)."""


async def check(connection: Connection, *, production: bool) -> None:
    """Make sure that commits last and that the session is the server's own.

    Raises PoolerBetween, and CommitsNotDurable in production; elsewhere commits that may be taken back are warned of.
    Asynchronous standbys alone are only warned of: one node on durable storage is a choice, and cannot be told apart.
    """
    cursor = await connection.execute(statements.READ_DURABILITY)
    row = await cursor.fetchone()
    if row is None:
        return
    synchronous_commit, standby_names, asynchronous, synchronous, unseen, backend_pid, statement_timeout = row
    if backend_pid != connection.info.backend_pid or statement_timeout == "0":
        raise PoolerBetween(
            "DATABASE_URL leads to a connection pooler (such as PgBouncer), which gives the sessions of one service to "
            "another and drops their settings: let it name PostgreSQL itself, or a proxy that passes sessions through"
        )
    if synchronous_commit in _FORGETFUL:
        message = f"synchronous_commit is {synchronous_commit}: an order that was accepted may be lost; set it to on"
        if production:
            raise CommitsNotDurable(message)
        log.warning("%s", message)
    elif standby_names or synchronous:
        return
    elif asynchronous:
        log.warning(
            "all %d standbys are asynchronous: a failover may lose orders that were accepted; set "
            "synchronous_standby_names",
            asynchronous,
        )
    elif unseen:
        log.info(
            "this role may not see whether the %d standbys are synchronous: grant it pg_read_all_stats",
            unseen,
        )
