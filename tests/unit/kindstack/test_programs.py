import asyncio
import json

import pytest

from devstack.faults import ToolMissing
from kindstack.faults import ProgramFailed
from kindstack.programs import run

from .conftest import Programs


async def test_what_a_program_prints_is_returned_and_what_it_is_told_arrives(programs: Programs) -> None:
    """By its standard input and output."""
    programs.answer("kubectl apply", "applied")
    assert await run("kubectl", "apply", stdin="manifest") == "applied\n"
    assert programs.stdin_of("kubectl apply") == "manifest"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("why", " why"),
        ("why\n\nwhere", "\n    why\n    where"),
        ("1\n2\n3\n4\n5\n6\n7", "\n    2\n    3\n    4\n    5\n    6\n    7"),
    ],
)
async def test_a_failure_is_told_by_the_last_lines(programs: Programs, said: str, told: str) -> None:
    """All that was said is kept beside them."""
    programs.answer("helm", status=3, err=said)
    with pytest.raises(ProgramFailed) as raised:
        await run("helm", "list")
    assert str(raised.value) == f"`helm list` ended with status 3:{told}"
    assert (raised.value.status, raised.value.said) == (3, said)


async def test_a_program_that_is_not_there_is_named(programs: Programs) -> None:
    """With where to get it, as far as that is known."""
    del programs
    with pytest.raises(ToolMissing, match=r"^`nosuch` is not installed"):
        await run("nosuch")


async def test_a_program_ends_with_its_caller(programs: Programs) -> None:
    """Nothing goes on changing a cluster behind the back of who pressed Ctrl-C."""
    programs.answer("helm upgrade", json.dumps({}), delay_s=90)
    call = asyncio.create_task(run("helm", "upgrade"))
    while not programs.calls:  # noqa: ASYNC110 - it is another process that is waited for
        await asyncio.sleep(0.05)
    assert programs.is_running("helm upgrade")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not programs.is_running("helm upgrade")
