"""A drill finds a system that loses nothing clean, and finds what it loses."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from cluster.drill import Site, drill
from support.running_stack import RunningStack, running_stack
from support.waiting import eventually


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run the whole system with two workers."""
    with running_stack(tmp_path_factory.mktemp("stack"), WORKERS="2") as stack:
        yield stack


@pytest.fixture
def site(stack: RunningStack) -> Site:
    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[str, str]]:
        yield stack.fact("database-url"), stack.fact("dex-url")

    return Site(stack.api_url, opened)


def killing(stack: RunningStack, name: str) -> Callable[[], Awaitable[object]]:
    before = stack.pid(name)

    async def act() -> None:
        stack.signal(name, signal.SIGKILL)
        await eventually(lambda: stack.started_again(name, before))

    return act


async def test_a_drill_with_a_killed_worker_is_clean(stack: RunningStack, site: Site) -> None:
    """Its orders are taken over, and no client notices."""
    verdict = await drill(site, "worker", killing(stack, "worker-1"), rate=20, before_s=1, after_s=2)
    assert verdict.clean, str(verdict)
    assert len(verdict.claims) == len(verdict.evidence.orders) >= 60
    assert verdict.followed


async def test_a_drill_with_a_killed_api_counts_every_failed_request_and_loses_nothing(
    stack: RunningStack, site: Site
) -> None:
    """There is only one api, and nobody asks twice; who follows by WebSocket resumes."""
    verdict = await drill(site, "api", killing(stack, "api"), rate=20, before_s=1, after_s=2)
    assert verdict.exact, str(verdict)
    assert verdict.failures
    assert verdict.reconnections
    assert not verdict.clean
