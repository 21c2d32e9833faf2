"""Brings the database schema to the revision this version needs: `python -m engine_common.migrate`."""

import logging
import sys
from contextlib import closing
from importlib.resources import files
from typing import Any

import psycopg
import yoyo

from engine_common.settings import DatabaseSettings, load_or_exit
from engine_common.store.pool import with_driver
from engine_common.telemetry import logs

log = logging.getLogger(__name__)

# Any constant will do, as long as every version of the engine takes the same one.
_ADVISORY_LOCK = 0x0D_EC_0D_E5


def migrations() -> Any:
    """Return this version's migrations, in order."""
    return yoyo.read_migrations(str(files("engine_common") / "migrations"))


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return the names applied; a database that is ahead is left as it is.

    Safe when many start at once, and after one was killed: yoyo's own lock is a row that a killed process leaves
    behind, so an advisory lock on a connection of its own decides, and a left row is broken.

    Raises psycopg.OperationalError when the database cannot be reached.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as guard:
        guard.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
        backend: Any = yoyo.get_backend(with_driver(database_url))
        with closing(backend.connection):
            backend.break_lock()
            missing = backend.to_apply(migrations())
            names = [migration.id for migration in missing]
            with backend.lock():
                backend.apply_migrations(missing)
            return names


def main() -> None:
    """Migrate the database that the environment names, and say what was done."""
    settings = load_or_exit(DatabaseSettings)
    logs.configure("migrate", settings.log_level, settings.log_format)
    try:
        applied = migrate(settings.database_url)
    except psycopg.OperationalError as error:
        sys.exit(f"migrate: PostgreSQL at DATABASE_URL cannot be used: {error}")
    log.info("database is up to date, %d migrations applied", len(applied))


if __name__ == "__main__":
    main()
