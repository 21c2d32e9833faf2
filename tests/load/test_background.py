"""What goes wrong in the background of a run fails the run."""

import asyncio

import pytest

from load.background import Background, stop


async def fail() -> None:
    raise KeyError("a bug of the suite")


async def last() -> None:
    await asyncio.Event().wait()


async def test_work_that_failed_fails_whoever_waits_for_the_end() -> None:
    """Also when others went well."""
    background = Background()
    background.begin(asyncio.sleep(0))
    background.begin(fail())
    with pytest.raises(KeyError, match="a bug of the suite"):
        await background.ended()


async def test_work_that_is_abandoned_has_not_failed() -> None:
    """It was not waited for."""
    background = Background()
    background.begin(last())
    await background.abandon()
    await background.ended()


async def test_what_would_go_on_for_ever_is_stopped() -> None:
    """Without an error."""
    task = asyncio.create_task(last())
    await asyncio.sleep(0)
    await stop(task)
    assert task.cancelled()


async def test_what_failed_before_it_was_stopped_has_failed() -> None:
    """A run would otherwise pass without its load."""
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(KeyError):
        await stop(task)
