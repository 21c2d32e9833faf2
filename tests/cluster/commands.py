"""Running kubectl, helm and docker with a time limit, and with an error that says what was run and what it answered."""

import asyncio
import shlex
from collections.abc import Mapping

from kindstack import programs
from kindstack.faults import ProgramFailed

_SHOWN_LINES = 15


class CommandFailed(AssertionError):
    """A program ended with another exit code than 0, or not in time."""


async def run(*argv: str, within_s: float = 120, environ: Mapping[str, str] | None = None) -> str:
    """Return what a program wrote to its standard output.

    Raises CommandFailed.
    """
    try:
        async with asyncio.timeout(within_s):
            return await programs.run(*argv, environ=environ)
    except TimeoutError:
        raise CommandFailed(f"`{shlex.join(argv)}` has not ended after {within_s:g} s") from None
    except ProgramFailed as error:
        told = "\n".join(error.said.splitlines()[-_SHOWN_LINES:])
        raise CommandFailed(f"`{shlex.join(argv)}` ended with {error.status}:\n{told}") from None
