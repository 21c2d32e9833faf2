"""Ready means that this version's schema is there and takes writes, wherever the URL leads."""

import logging
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from engine_common.migrate import migrate
from integration.api.running_api import BODY, running_api


async def test_an_api_without_its_schema_is_not_ready_and_says_what_to_run(
    empty_database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It would answer every order with 500; ready again as soon as somebody has migrated."""
    async with running_api(empty_database_url, redis_url) as api:
        assert (await api.get("/readyz")).status == 503
        assert "run python -m engine_common.migrate" in caplog.text
        migrate(empty_database_url)
        assert (await api.get("/readyz")).status == 200
        assert (await api.post("/api/orders/execute", BODY)).status == 202


async def test_options_of_the_url_are_followed_by_services_as_by_migrations(
    empty_database_url: str, redis_url: str
) -> None:
    """A schema of its own by `search_path`: tables are made there, and orders stored there."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA engine")
    url = f"{empty_database_url}?options={quote('-csearch_path=engine')}"
    migrate(url)
    async with running_api(url, redis_url) as api:
        assert (await api.get("/readyz")).status == 200
        order_id = await api.place()
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT status FROM engine.orders WHERE id = %s", (order_id,)).fetchone() == (
            "queued",
        )


@pytest.mark.parametrize("lacks", ["SELECT", "INSERT", "UPDATE"])
async def test_a_role_that_may_not_store_orders_is_not_ready(
    database_url: str, redis_url: str, lacks: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason names the role's rights, not a bug."""
    role = f"limited_{lacks.lower()}"
    rights = sql.SQL(", ").join(map(sql.SQL, {"SELECT", "INSERT", "UPDATE"} - {lacks}))
    parts = psycopg.conninfo.conninfo_to_dict(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'of-this-test'").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA public TO {}").format(rights, sql.Identifier(role))
        )
    url = f"postgresql://{role}:of-this-test@{parts['host']}:{parts['port']}/{parts['dbname']}"
    try:
        with caplog.at_level(logging.ERROR):
            async with running_api(url, redis_url) as api:
                assert (await api.get("/readyz")).status == 503
        assert "the role of DATABASE_URL" in caplog.text
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
