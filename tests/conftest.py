"""A real PostgreSQL and Valkey for every test that asks for them: `support.backends` says where they come from.

Without pytest-xdist they start with the first test that needs them; with it the controller starts them and hands each
test process its share. Modules below `tests/` are imported as `from support.orders import new_order`.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
from redis import Redis

from chart.rendering import chart_sentence
from engine_common.store.pool import Pool, open_pool
from support.backends import Backends, Share
from support.databases import temporary_database

_BACKENDS = pytest.StashKey[Backends]()

# The machine may be busy: how long an example takes, to be made or to be tried, says nothing.
hypothesis.settings.register_profile("engine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("engine")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_BACKENDS] = Backends()


def pytest_report_header(config: pytest.Config) -> list[str]:
    backends = config.stash.get(_BACKENDS, None)
    return [backends.choice.sentence, chart_sentence()] if backends else []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """With pytest-xdist: give a new test process its share."""
    node.workerinput["backends"] = node.config.stash[_BACKENDS].share()


def pytest_unconfigure(config: pytest.Config) -> None:
    if backends := config.stash.get(_BACKENDS, None):
        backends.close()


@pytest.fixture(scope="session")
def backends(pytestconfig: pytest.Config) -> Share:
    """Return the servers that this test process uses."""
    given = getattr(pytestconfig, "workerinput", None)
    return Share(**(given["backends"] if given else pytestconfig.stash[_BACKENDS].share()))


@pytest.fixture
def database_url(backends: Share) -> Iterator[str]:
    """Make a migrated database of the test's own."""
    with temporary_database(backends.admin_url, template=backends.template) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database_url(backends: Share) -> Iterator[str]:
    """Make one migrated database for all tests that look at nothing but the orders they made themselves."""
    with temporary_database(backends.admin_url, template=backends.template) as url:
        yield url


@pytest.fixture
def empty_database_url(backends: Share) -> Iterator[str]:
    """Make a database of the test's own without any schema."""
    with temporary_database(backends.admin_url) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Open connections to the test's database, as the services do."""
    async with open_pool(database_url, size=2, name="test") as opened:
        yield opened


@pytest.fixture
async def shared_pool(shared_database_url: str) -> AsyncIterator[Pool]:
    """Open connections to the shared database: for tests that look at nothing but the orders they made themselves."""
    async with open_pool(shared_database_url, size=2, name="test") as opened:
        yield opened


@pytest.fixture
def redis_url(backends: Share) -> str:
    """Return a Redis database of the test's own, empty when the test begins."""
    with Redis.from_url(backends.redis_url) as client:
        client.flushdb()
    return backends.redis_url
