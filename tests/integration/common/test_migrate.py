"""Migrations: many at once, after a killed one, and against a database that is ahead."""

import hashlib
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from engine_common.migrate import migrate, migrations
from engine_common.migration_lock import MigratorBusy, held

NAMES = [migration.id for migration in migrations()]
WAITER = ("-m", "engine_common.migrate", "--wait")


# One import, many migrators: each is a process of its own from here on.
MANY = """
import os
from engine_common.migrate import main

children = []
for _ in range(10):
    child = os.fork()
    if not child:
        main()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
"""


def start(database_url: str, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(command or ("-m", "engine_common.migrate"))],
        env={"DATABASE_URL": database_url, "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[str]:
    """Wait for the end and yield the output; leave no process behind."""
    try:
        output, _ = process.communicate(timeout=90)
        yield output
    finally:
        process.kill()
        process.communicate()


def tables(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def test_an_empty_database_gets_every_migration_once(empty_database_url: str) -> None:
    """The second run finds nothing to do."""
    assert migrate(empty_database_url) == NAMES
    assert migrate(empty_database_url) == []
    assert {"orders", "order_events", "attempts", "workers"} <= tables(empty_database_url)


def test_ten_processes_at_once_migrate_once(empty_database_url: str) -> None:
    """All of them succeed: one migrates, nine wait for it."""
    process = start(empty_database_url, "-c", MANY)
    with ended(process) as output:
        assert process.returncode == 0, output
    with psycopg.connect(empty_database_url) as connection:
        applied = connection.execute("SELECT migration_id FROM _yoyo_migration").fetchall()
        assert sorted(row[0] for row in applied) == sorted(NAMES)


def test_a_migrator_killed_in_the_middle_is_made_up_for(empty_database_url: str) -> None:
    """It died while it held yoyo's lock: the next one breaks the lock and migrates, without anybody's help."""
    with psycopg.connect(empty_database_url) as blocker:
        blocker.execute("CREATE TABLE orders (id int)")  # the migration waits for this transaction
        process = start(empty_database_url)
        wait_until_blocked(empty_database_url)
        process.send_signal(signal.SIGKILL)
        with ended(process):
            pass
        with psycopg.connect(empty_database_url) as reader:
            assert reader.execute("SELECT count(*) FROM yoyo_lock").fetchone() == (1,)
        blocker.rollback()
    assert migrate(empty_database_url) == NAMES


def test_a_database_that_is_ahead_is_left_alone(database_url: str) -> None:
    """A rollback runs the old migrator against the new schema: it succeeds and changes nothing."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('later', '9999_later', now())"
        )
        connection.execute("CREATE TABLE later (id int)")
    before = tables(database_url)
    process = start(database_url)
    with ended(process) as output:
        assert process.returncode == 0, output
    assert tables(database_url) == before
    with psycopg.connect(database_url) as connection:
        applied = connection.execute("SELECT migration_id FROM _yoyo_migration ORDER BY 1").fetchall()
    assert [row[0] for row in applied] == sorted([*NAMES, "9999_later"])


def test_amounts_and_minimum_outputs_of_the_version_before_are_kept_for_what_they_were(empty_database_url: str) -> None:
    """One column held the user's minimum output or the first route's: the order's fingerprint tells which it was."""
    first, second = (Path(migration.path).read_text() for migration in migrations()[:2])

    def asked_for(operation: str, minimum: int | None) -> bytes:
        return hashlib.sha256(f"{operation}|MARKET|SOL|USDC|1000|50|{minimum}|a wallet".encode()).digest()

    rows = [
        (asked_for("execute", None), 995, "confirmed"),
        (asked_for("create", None), 995, "submitted"),
        (asked_for("execute", 700), 700, "routing"),
        (asked_for("create", 700), 700, "pending"),
        (asked_for("execute", None), None, "queued"),
    ]
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(first)
        for number, (fingerprint, minimum, status) in enumerate(rows):
            connection.execute(
                "INSERT INTO orders (id, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet,"
                " version, traceparent, min_amount_out, status, queued_at, finished_at, tx_hash, amount_out)"
                " VALUES (%s, %s, 'MARKET', 'SOL', 'USDC', 1000, 50, 'a wallet', 1, '', %s, %s, %s, %s, 'tx', 996)",
                (
                    uuid.UUID(int=number),
                    fingerprint,
                    minimum,
                    status,
                    None if status == "pending" else "now",
                    "now" if status == "confirmed" else None,
                ),
            )
        connection.execute(second)
        kept = connection.execute(
            "SELECT min_amount_out, effective_min_amount_out, slippage_bps, amount_in, amount_out"
            " FROM orders ORDER BY id"
        ).fetchall()
    assert kept == [
        (None, 995, 50, 1000, 996),
        (None, 995, 50, 1000, 996),
        (700, 700, 50, 1000, 996),
        (700, None, None, 1000, 996),
        (None, None, 50, 1000, 996),
    ]


def test_the_amounts_migration_has_services_of_the_version_before_connect_again(empty_database_url: str) -> None:
    """Their prepared statements would fail on columns whose type has changed."""
    first, second = (Path(migration.path).read_text() for migration in migrations()[:2])
    with (
        psycopg.connect(empty_database_url, application_name="worker", autocommit=True) as service,
        psycopg.connect(empty_database_url, application_name="psql", autocommit=True) as somebody,
        psycopg.connect(empty_database_url) as connection,
    ):
        connection.execute(first)
        connection.execute(second)
        connection.commit()
        with pytest.raises(psycopg.OperationalError):
            service.execute("SELECT 1")
        assert somebody.execute("SELECT 1").fetchone() == (1,)


def test_a_migration_that_waits_for_a_lock_gives_up_instead_of_stopping_the_system() -> None:
    """Every migration sets lock_timeout: whoever waits behind it would wait for its locks too."""
    for migration in migrations():
        assert "SET lock_timeout" in Path(migration.path).read_text(), migration.id


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/nowhere"])
def test_an_unreachable_database_is_one_sentence_and_a_failure(url: str) -> None:
    """Whoever starts it, starts it again."""
    process = start(url)
    with ended(process) as output:
        assert process.returncode == 1
        assert output.startswith("migrate: PostgreSQL at DATABASE_URL cannot be used: ")
        assert "Traceback" not in output


def test_a_waiter_changes_nothing_and_ends_when_another_has_migrated(empty_database_url: str) -> None:
    """So that no pod's service starts before its tables are there."""
    waiter = start(empty_database_url, *WAITER)
    assert waiter.stdout is not None
    assert NAMES[0] in waiter.stdout.readline()
    assert tables(empty_database_url) == set()
    migrate(empty_database_url)
    with ended(waiter) as output:
        assert waiter.returncode == 0, output
        assert "database is up to date" in output


def test_a_waiter_ends_when_it_is_told_to(empty_database_url: str) -> None:
    """Whoever withdraws a rollout does not wait for its pods to be killed."""
    waiter = start(empty_database_url, *WAITER)
    assert waiter.stdout is not None
    assert waiter.stdout.readline()
    waiter.terminate()
    with ended(waiter) as output:
        assert waiter.returncode == 128 + signal.SIGTERM, output


def test_a_patient_migrator_waits_for_its_database(empty_database_url: str) -> None:
    """With a new release it starts before PostgreSQL does."""
    name = f"later_{uuid.uuid4().hex}"
    url = urlunsplit(urlsplit(empty_database_url)._replace(path=f"/{name}"))
    migrator = start(url, "-m", "engine_common.migrate", "--patience", "60")
    assert migrator.stdout is not None
    assert "cannot be used" in migrator.stdout.readline()
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with ended(migrator) as output:
                assert migrator.returncode == 0, output
            assert "orders" in tables(url)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("patience", [(), ("--patience", "60")])
def test_a_migrator_waits_for_another_one_and_says_for_which(
    empty_database_url: str, patience: tuple[str, ...]
) -> None:
    """By its session, and for a while even when nobody asked it for patience."""
    with held(empty_database_url, 0) as other:
        migrator = start(empty_database_url, "-m", "engine_common.migrate", *patience)
        assert migrator.stdout is not None
        line = migrator.stdout.readline()
        assert f"waiting: session {other.info.backend_pid} (migrate on {socket.gethostname()}, from " in line
    with ended(migrator) as output:
        assert migrator.returncode == 0, output
    assert migrate(empty_database_url) == []


def test_a_migrator_whose_patience_ends_says_who_holds_the_lock_and_how_to_end_it(empty_database_url: str) -> None:
    """A session may outlive its migrator, whose node died."""
    with held(empty_database_url, 0) as other:
        migrator = start(empty_database_url, "-m", "engine_common.migrate", "--patience", "0.5")
        with ended(migrator) as output:
            assert migrator.returncode == 1
            assert f"session {other.info.backend_pid} (migrate on " in output
            assert f"`SELECT pg_terminate_backend({other.info.backend_pid})`" in output
            assert "Traceback" not in output
        with pytest.raises(MigratorBusy):
            migrate(empty_database_url, lock_patience_s=0)


def test_the_server_soon_ends_the_session_of_a_migrator_whose_node_died(empty_database_url: str) -> None:
    """By default it would ask after two hours whether the client is still there."""
    with held(empty_database_url, 0) as connection:
        shown = [
            connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(f"tcp_keepalives_{each}"))).fetchone()
            for each in ("idle", "interval", "count")
        ]
        assert shown == [("10",), ("5",), ("3",)]


def test_a_waiter_is_content_with_a_database_that_is_ahead(database_url: str) -> None:
    """After a rollback the old version's pods start on the newer schema."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('later', '9999_later', now())"
        )
    waiter = start(database_url, *WAITER)
    with ended(waiter) as output:
        assert waiter.returncode == 0, output


def wait_until_blocked(database_url: str) -> None:
    deadline = time.monotonic() + 60
    with psycopg.connect(database_url, autocommit=True) as connection:
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while connection.execute(blocked).fetchone() == (0,):
            assert time.monotonic() < deadline, "the migration did not come to the table"
            time.sleep(0.02)
