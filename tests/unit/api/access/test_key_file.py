"""The file of keys: which changes are noticed, and which are not believed at once."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine_api.access.key_file import KeyFile
from engine_api.access.keys import Digests
from support.waiting import eventually


def line(key: str) -> str:
    return f"desk:{hashlib.sha256(key.encode()).hexdigest()}\n"


@asynccontextmanager
async def watched(path: Path, changed: Callable[[Digests], object]) -> AsyncIterator[None]:
    """Watch the file meanwhile."""
    watching = asyncio.create_task(KeyFile(path, look_every_s=0.05).watch(changed))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_change_that_leaves_size_and_time_as_they_were_is_noticed(tmp_path: Path) -> None:
    """So do tools that copy times along, and so does `chmod` for a file that could not be read."""
    path, seen = tmp_path / "keys", list[Digests]()
    path.write_text(line("old"))
    found = path.stat()
    async with watched(path, seen.append):
        path.write_text(line("new"))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        await eventually(lambda: hashlib.sha256(b"new").digest() in (seen[-1] if seen else ()))


async def test_a_change_that_could_not_be_put_in_force_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever went wrong: the file is watched as long as the process lives, and the log is told once."""
    path, seen = tmp_path / "keys", list[Digests]()
    path.write_text(line("old"))

    def fail_at_first(digests: Digests) -> None:
        seen.append(digests)
        if len(seen) < 3:
            raise RuntimeError("unforeseen")

    async with watched(path, fail_at_first):
        path.write_text(line("new") + line("newer"))
        await eventually(lambda: len(seen) == 3)
    assert seen[0] == seen[2]
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_a_file_is_empty_only_if_it_stays_so(tmp_path: Path) -> None:
    """Who looks in the middle of a rewrite revokes nobody; who means it is heard all the same."""
    path, seen = tmp_path / "keys", list[Digests]()
    path.write_text(line("old"))
    async with watched(path, seen.append):
        for number in range(10):
            path.write_text("")
            await asyncio.sleep(0.03)
            path.write_text(line("old") + line(f"another-{number}"))
            await asyncio.sleep(0.1)
        assert seen
        assert all(seen)
        path.write_text("# nobody\n")
        await eventually(lambda: seen[-1] == {})
