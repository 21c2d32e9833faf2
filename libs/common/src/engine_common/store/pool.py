"""Connections to PostgreSQL: autocommit, with every time-out that keeps a stalled peer from holding anything."""

import asyncio
import contextlib
import os
import re
import select
import socket
from collections.abc import AsyncGenerator
from typing import Any, TypeAlias

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.numeric import IntLoader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from engine_common import admission
from engine_common.telemetry.logs import log


class TurnedReadOnly(psycopg.OperationalError):
    """PostgreSQL takes no writes, as after a failover: the statement stored nothing, and its connection is closed."""


# What a connection or a server in trouble raises, contention (40001, 40P01, 55P03) included: repeating helps.
TROUBLE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError)

_OPTION = re.compile(r"(?:-c|--)\s*([A-Za-z_.]+)=")

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Connection]

STATEMENT_TIMEOUT_S = 5

# Milliseconds, but for keepalives. To join a batch to a table that is small when the plan is made, the planner reads
# the whole table, by a sequential scan or by a merge or hash join over a whole index, and a prepared statement keeps
# that plan while the table grows: moving 20 orders of 20,000 took 13 ms instead of 1 ms. What is left looks up each.
_HOT_PATH = (
    f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}000 -c lock_timeout=1000 "
    "-c idle_in_transaction_session_timeout=2000 "
    "-c enable_seqscan=off -c enable_mergejoin=off -c enable_hashjoin=off -c jit=off"
)

# A new connection may lead to another server: the address of a host name changes with a failover.
_MAX_LIFETIME_S = 600.0

_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 5000}

# Seconds that a pool is waited for; it takes heart again only when somebody asks anew.
_ASK_ANEW_AFTER_S = 2.0

# Seconds. The server ends a statement after 5 s, so an answer that takes longer never comes: the peer hangs, or the
# path to it.
_ANSWER_WITHIN_S = 7.0

# The schema has amounts as numeric(20, 0), which holds every unsigned 64-bit integer; here they are int.
AMOUNTS_AS_INT = AdaptersMap(psycopg.adapters)
AMOUNTS_AS_INT.register_loader("numeric", IntLoader)

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)


def open_pool(database_url: str, *, size: int, name: str) -> Pool:
    """Return a pool that is not opened yet; it keeps `size` connections and replaces broken ones by itself.

    What the URL says itself is honoured: its options come before ours, and its time-outs and name in place of ours.
    """
    theirs = admission.effective_database(database_url)
    ours = {"connect_timeout": 3, "application_name": name, **_KEEPALIVES}
    return AsyncConnectionPool(
        database_url,
        min_size=size,
        max_size=size,
        name=name,
        open=False,
        timeout=_ASK_ANEW_AFTER_S,
        max_lifetime=_MAX_LIFETIME_S,
        reconnect_timeout=2,  # the default backs off so far that a 17 s outage took another 11 s to notice the end of
        kwargs={
            "autocommit": True,
            "context": AMOUNTS_AS_INT,
            "options": merged_options(theirs.get("options")),
            **{parameter: value for parameter, value in ours.items() if parameter not in theirs},
        },
    )


def merged_options(theirs: str | None) -> str:
    """Return the session's options: those of the URL, or of PGOPTIONS, and then ours, of which the last one holds."""
    if not theirs:
        return _HOT_PATH
    overridden = sorted(set(_OPTION.findall(theirs)) & set(_OPTION.findall(_HOT_PATH)))
    if overridden:
        log.warning("database_options.overridden", parameters=overridden, reason="the engine depends on its own values")
    return f"{theirs} {_HOT_PATH}"


@contextlib.asynccontextmanager
async def answering(
    pool: Pool, *, within_s: float = _ANSWER_WITHIN_S, lent_within_s: float = _ASK_ANEW_AFTER_S
) -> AsyncGenerator[Connection]:
    """Lend a connection that ends under its user, who then gets OperationalError, when no answer comes in time.

    Both times begin when it is asked for. Raises psycopg_pool.PoolTimeout when there is none to lend for
    `lent_within_s`, and TurnedReadOnly in place of the server's own error: the whole pool reconnects, since the host
    name may resolve to another server by now.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    connection = await _borrow(pool, began + lent_within_s)
    deadline = loop.call_at(began + within_s, _hang_up, connection)
    try:
        yield connection
    except psycopg.errors.ReadOnlySqlTransaction as error:
        await connection.close()
        await pool.drain()
        raise TurnedReadOnly(f"PostgreSQL takes no writes: {error}") from error
    finally:
        deadline.cancel()
        await _give_back(pool, connection)


async def _give_back(pool: Pool, connection: Connection) -> None:
    """Return the connection even if the borrower is cancelled meanwhile: the pool would never see it again."""
    await asyncio.shield(pool.putconn(connection))


def _hang_up(connection: Connection) -> None:
    """Let the user of the connection read its end.

    Its descriptor stays open until the user has let go of it: closed here, while the event loop watches it, its number
    could be another connection's already.
    """
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as peer:
        peer.shutdown(socket.SHUT_RDWR)


async def _borrow(pool: Pool, give_up_at: float) -> Connection:
    """Return a connection that did not die while it was idle.

    Without this every connection of the pool would fail one caller after a restart of the server, and the pool's own
    check asks the server each time.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection = await pool.getconn(min(give_up_at - loop.time(), _ASK_ANEW_AFTER_S))
        except PoolTimeout:
            if loop.time() >= give_up_at:
                raise
            continue
        if _is_silent(connection):
            return connection
        await connection.close()
        await _give_back(pool, connection)  # which has it replaced


def _is_silent(connection: Connection) -> bool:
    """Ask the kernel whether anything came in: all that an idle connection ever receives is its end, or its reason."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
