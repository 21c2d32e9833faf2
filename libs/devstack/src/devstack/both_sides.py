"""Both sides of a comparison: the orders in PostgreSQL, and the ledger of the DEX."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psycopg
from psycopg import AsyncConnection

from devstack.faults import DatabaseUnreadable
from devstack.ledger import Ledger
from engine_common.store.pool import AMOUNTS_AS_INT

_TIMEOUT = aiohttp.ClientTimeout(total=30)


@asynccontextmanager
async def opened(
    database_url: str, dex_url: str, *, on_other_schema: str
) -> AsyncGenerator[tuple[AsyncConnection[Any], Ledger]]:
    """Lend a connection to the orders, and the ledger; `on_other_schema` says what helps if that is another version's.

    Raises DatabaseUnreadable, also for what its user cannot read; the ledger raises LedgerUnreadable.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            await AsyncConnection.connect(
                database_url, autocommit=True, connect_timeout=5, context=AMOUNTS_AS_INT
            ) as connection,
        ):
            yield connection, Ledger(session, dex_url)
    except psycopg.OperationalError as error:
        raise DatabaseUnreadable(f"PostgreSQL cannot be used: {str(error).strip()}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise DatabaseUnreadable(
            f"The database has not the schema of this version ({error.diag.message_primary}): {on_other_schema}."
        ) from error
