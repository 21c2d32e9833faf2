from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from integration.mockdex.exchanges import Stepped

Opener = Callable[..., Awaitable[Stepped]]


@pytest.fixture
async def open_exchange() -> AsyncIterator[Opener]:
    """Open exchanges whose time the test moves; all are closed after it."""
    opened: list[Stepped] = []

    async def open_one(**settings: object) -> Stepped:
        stepped = await Stepped().open(**settings)
        opened.append(stepped)
        return stepped

    yield open_one
    for stepped in opened:
        await stepped.close()


@pytest.fixture
async def exchange(open_exchange: Opener) -> Stepped:
    """Open an exchange without latency of quotes, without failures, and with the default execution delay."""
    return await open_exchange()
