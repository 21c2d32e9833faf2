"""Running kubectl, helm and docker, with an error that says what was run and what it answered."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

_SHOWN_LINES = 15


class CommandFailed(AssertionError):
    """A program ended with another exit code than 0, or not in time."""


async def run(*argv: str, within_s: float = 120, said: str = "", env: Mapping[str, str] | None = None) -> str:
    """Return what a program wrote to its standard output; `said` is its input.

    Raises CommandFailed.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate(said.encode())
    except TimeoutError:
        raise CommandFailed(f"`{' '.join(argv)}` has not ended after {within_s:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        told = "\n".join((err.decode() or out.decode()).strip().splitlines()[-_SHOWN_LINES:])
        raise CommandFailed(f"`{' '.join(argv)}` ended with {process.returncode}:\n{told}")
    return out.decode()
