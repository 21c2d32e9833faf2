"""Brings the database schema to the revision this version needs: `python -m engine_common.migrate`.

With `--wait` it changes nothing and waits until somebody else has done so: what a pod does before its service starts.
"""

import argparse
import logging
import math
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import yoyo

from engine_common import migration_lock
from engine_common.migration_lock import MigratorBusy
from engine_common.settings import DatabaseSettings, load_or_exit
from engine_common.telemetry import logs

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
# For a migrator that is at work: migrations take seconds.
_LOCK_PATIENCE_S = 60.0
_MOST_PATIENCE_S = 86_400


def migrations() -> Any:
    """Return this version's migrations, in order."""
    return yoyo.read_migrations(str(Path(__file__).with_name("migrations")))


def migrate(database_url: str, *, lock_patience_s: float = _LOCK_PATIENCE_S) -> list[str]:
    """Apply what is missing and return the names applied; a database that is ahead is left as it is.

    Safe when many start at once, and after one was killed: yoyo's own lock is a row that a killed process leaves
    behind, so an advisory lock on a connection of its own decides, and a left row is broken.

    Raises MigratorBusy when another one is not done within `lock_patience_s`, psycopg.OperationalError when the
    database cannot be reached.
    """
    with migration_lock.held(database_url, lock_patience_s):
        backend: Any = yoyo.get_backend(_with_driver(database_url))
        with closing(backend.connection):
            migration_lock.end_with_client(backend.connection)
            backend.break_lock()
            missing = backend.to_apply(migrations())
            names = [migration.id for migration in missing]
            with backend.lock():
                backend.apply_migrations(missing)
            return names


def _with_driver(database_url: str) -> str:
    """Return the URL in the form that names psycopg 3 as its driver."""
    return urlunsplit(urlsplit(database_url)._replace(scheme="postgresql+psycopg"))


def missing(database_url: str) -> list[str]:
    """Return the names of this version's migrations that the database lacks, changing nothing.

    Raises psycopg.OperationalError when the database cannot be reached.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        try:
            applied = {name for (name,) in connection.execute("SELECT migration_id FROM _yoyo_migration")}
        except psycopg.errors.UndefinedTable:  # nobody has ever migrated it
            applied = set[str]()
    return [migration.id for migration in migrations() if migration.id not in applied]


def main() -> None:
    """Migrate the database that the environment names, or wait for it, and say what was done."""
    arguments = _arguments()
    settings = load_or_exit(DatabaseSettings)
    logs.configure("migrate", settings.log_level, settings.log_format)
    # As a container's first process it would not hear the signal without a handler.
    signal.signal(signal.SIGTERM, _stop)
    if arguments.wait:
        _wait(settings.database_url)
        log.info("database is up to date")
        return
    try:
        applied = _migrate_patiently(settings.database_url, arguments.patience)
    except psycopg.OperationalError as error:
        sys.exit(f"migrate: PostgreSQL at DATABASE_URL cannot be used: {error}")
    except MigratorBusy as error:
        sys.exit(f"migrate: {error}")
    log.info("database is up to date, %d migrations applied", len(applied))


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine_common.migrate", description="Migrate the database.")
    parser.add_argument("--wait", action="store_true", help="change nothing; wait until the database is migrated")
    parser.add_argument(
        "--patience",
        type=_seconds,
        metavar="SECONDS",
        help="how long to try again while PostgreSQL cannot be used or another migrator is at work (default: "
        f"not at all, and {_LOCK_PATIENCE_S:.0f} for the other migrator)",
    )
    return parser.parse_args()


def _seconds(text: str) -> float:
    """Return a number of seconds from 0 to a day; raise ArgumentTypeError."""
    try:
        seconds = float(text) if text.isascii() else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _MOST_PATIENCE_S:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to {_MOST_PATIENCE_S}, not {text!r}")
    return seconds


def _wait(database_url: str) -> None:
    while reason := _reason_to_wait(database_url):
        log.info("waiting: %s", reason)
        time.sleep(_PAUSE_S)


def _reason_to_wait(database_url: str) -> str | None:
    try:
        names = missing(database_url)
    except psycopg.OperationalError as error:
        return f"PostgreSQL at DATABASE_URL cannot be used: {str(error).strip()}"
    return f"the database lacks {', '.join(names)}; a migrator has to run" if names else None


def _migrate_patiently(database_url: str, patience_s: float | None) -> list[str]:
    if patience_s is None:
        return migrate(database_url)
    end = time.monotonic() + patience_s
    while True:
        try:
            return migrate(database_url, lock_patience_s=max(0.0, end - time.monotonic()))
        except psycopg.OperationalError as error:
            if time.monotonic() >= end:
                raise
            log.info("trying again: PostgreSQL at DATABASE_URL cannot be used: %s", str(error).strip())
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
