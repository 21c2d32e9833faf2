from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aiohttp
import pytest
from redis import Redis

from engine_common import live
from engine_common.store.pool import Pool
from integration.api.running_api import RunningApi, served_in_thread
from integration.api.worker_double import WorkerDouble
from support.backends import Share


@pytest.fixture(scope="session")
def shared_api_port(shared_database_url: str, backends: Share) -> Iterator[int]:
    """Serve one api for all tests that look at nothing but their own orders and wallets."""
    with served_in_thread(shared_database_url, backends.redis_url) as port:
        yield port


@pytest.fixture
async def api(shared_api_port: int) -> AsyncIterator[RunningApi]:
    """Speak with the api that other tests use too: look at nothing but the test's own orders and wallets."""
    async with aiohttp.ClientSession() as session:
        yield RunningApi(shared_api_port, session)


@pytest.fixture
async def worker(shared_pool: Pool, redis_url: str) -> AsyncIterator[WorkerDouble]:
    """Move orders of the shared database as a worker does."""
    publisher = live.Publisher(live.connect(redis_url))
    yield WorkerDouble(shared_pool, publisher)
    await publisher.close()


@pytest.fixture
def wallet() -> str:
    """Return a wallet that no other test uses."""
    return f"wallet-{uuid4()}"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Connect to the test's Redis."""
    with Redis.from_url(redis_url) as client:
        yield client
