"""What a person reads of the steps of a command."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from kindstack.progress import Steps


async def told(error: type[BaseException] | None) -> list[str]:
    output = StringIO()
    with Steps(Console(file=output, width=200)) as steps:
        try:
            with steps.step("baking"):
                if error:
                    raise error
        except (ValueError, asyncio.CancelledError):
            pass
    return [line for line in output.getvalue().splitlines() if line]


@pytest.mark.parametrize(
    ("error", "end"), [(None, "✓ baking"), (ValueError, "✗ baking"), (asyncio.CancelledError, "- baking: stopped")]
)
async def test_a_step_that_was_only_stopped_did_not_fail(error: type[BaseException] | None, end: str) -> None:
    """Of steps side by side the one that failed is to be seen."""
    begun, ended = await told(error)
    assert begun.strip() == "… baking"
    assert ended.endswith(f" s {end}")
