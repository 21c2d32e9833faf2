"""Databases of a PostgreSQL server: made for a test, cloned from a migrated one, dropped afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql


def with_database(url: str, name: str) -> str:
    """Return the URL with another database, or for Redis another number."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def create_database(admin_url: str, *, template: str | None = None) -> str:
    """Make a database, a copy of the template where one is given, and return its name."""
    name = f"engine_test_{uuid4().hex[:12]}"
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(statement)
    return name


def drop_database(admin_url: str, name: str) -> None:
    """Drop the database, whoever is still connected to it."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def temporary_database(admin_url: str, *, template: str | None = None) -> Iterator[str]:
    """Make a database for a while and yield its URL."""
    name = create_database(admin_url, template=template)
    try:
        yield with_database(admin_url, name)
    finally:
        drop_database(admin_url, name)
