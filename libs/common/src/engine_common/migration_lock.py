"""The lock that lets one migrator work at a time: held by a session that ends with its process, and with its node."""

import logging
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg

log = logging.getLogger(__name__)

Connection: TypeAlias = psycopg.Connection[Any]

# Any constant will do, as long as every version of the engine takes the same one.
_LOCK = 0x0D_EC_0D_E5
_PAUSE_S = 0.2
_LONGEST_NAME = 63  # PostgreSQL cuts off the rest, and says so in its log
_TO_SERVER: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
# Otherwise the server may keep the session of a client whose node died for two hours.
_END_WITH_CLIENT = """
SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false)
"""
_HOLDER = """
SELECT pid, application_name, host(client_addr), to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32 | objid::bigint) = %(lock)s
"""


class MigratorBusy(Exception):
    """Another session has held the migrators' lock for as long as this one was willing to wait."""


@contextmanager
def held(database_url: str, patience_s: float) -> Generator[Connection]:
    """Hold the lock, and lend the connection that does.

    Raises MigratorBusy when it is not free within `patience_s`, psycopg.OperationalError when the database cannot be
    reached.
    """
    name = f"migrate on {socket.gethostname()}"[:_LONGEST_NAME]
    with psycopg.connect(
        database_url, autocommit=True, connect_timeout=5, application_name=name, **_TO_SERVER
    ) as connection:
        end_with_client(connection)
        _acquire(connection, patience_s)
        yield connection


def end_with_client(connection: Connection) -> None:
    """Have the server end a session within half a minute after its client's node has died."""
    connection.execute(_END_WITH_CLIENT)


def _acquire(connection: Connection, patience_s: float) -> None:
    end, told = time.monotonic() + patience_s, ""
    while not _try(connection):
        holder = _holder(connection)
        if holder and time.monotonic() >= end:
            raise MigratorBusy(
                f"another migrator has not finished in time, {holder[1]} holds the lock: try again, or, if it does not "
                f"run any more, end its session with `SELECT pg_terminate_backend({holder[0]})`."
            )
        if holder and holder[1] != told:
            told = holder[1]
            log.info("waiting: %s migrates, or died at it", told)
        time.sleep(_PAUSE_S)


def _try(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
    return row is not None and row[0] is True


def _holder(connection: Connection) -> tuple[int, str] | None:
    """Return the process id of the session that holds the lock, and how it is described; None: it has just ended."""
    row = connection.execute(_HOLDER, {"lock": _LOCK}).fetchone()
    if row is None:
        return None
    pid, name, address, since = row
    return pid, f"session {pid} ({name or 'without a name'}, from {address or 'the server itself'}, since {since} UTC)"
