"""One mock DEX for all tests of a process, workers for each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.services import FAST, MockDex, Worker

StartWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture(scope="session")
def shared_dex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockDex]:
    dex = MockDex(tmp_path_factory.mktemp("dex"))
    try:
        yield dex
    finally:
        dex.close()


@pytest.fixture
async def dex(shared_dex: MockDex) -> MockDex:
    """Return the mock DEX, without delays worth mentioning and without faults."""
    await shared_dex.until_ready()
    await shared_dex.set(**FAST)
    return shared_dex


@pytest.fixture
async def start_worker(tmp_path: Path, database_url: str, redis_url: str, dex: MockDex) -> AsyncIterator[StartWorker]:
    """Start workers on the test's database and Redis; whatever still runs at the end is killed."""
    with ExitStack() as workers:

        async def start(*, ready: bool = True, **environ: str) -> Worker:
            urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DEX_URL": dex.url}
            worker = Worker(tmp_path, **(urls | environ))
            workers.callback(worker.close)
            if ready:
                await worker.until_ready()
            return worker

        yield start
        await asyncio.sleep(0)
