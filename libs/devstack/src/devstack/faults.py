"""Foreseeable faults, each said in one sentence to the person at the terminal.

StackError
├── ToolMissing       a binary that the stack needs is not installed
├── PortTaken         somebody else listens where the stack should
├── AlreadyRunning    another stack holds the directory
├── DiskFull          no room for the stack's data
├── SettingRefused    an environment variable has a value that cannot be used
├── ProcessFailed     a process of the stack does not come up; carries the tail of its log
└── StackNotFound     a command needs a running stack and there is none
"""

import errno
from pathlib import Path


class StackError(Exception):
    """A fault that is no bug of the stack: its text is one clear sentence, never a traceback."""


class ToolMissing(StackError):
    """A binary that the stack needs is not installed, or not for this machine."""


class PortTaken(StackError):
    """Somebody else listens on a port that the stack should serve."""


class AlreadyRunning(StackError):
    """Another stack is running in the directory."""


class DiskFull(StackError):
    """The file system that holds the stack has no room left."""


class SettingRefused(StackError):
    """An environment variable has a value that cannot be used."""


class ProcessFailed(StackError):
    """A process of the stack did not come up, or a step of bringing it up failed."""


class StackNotFound(StackError):
    """A command needs a running stack, and neither directory nor environment names one."""


def explain(error: OSError) -> str:
    """Say an operating system's error as a sentence, naming the file where there is one."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full{where}: free some space, or set STACK_DIR to a directory on another disk."
    return f"{error.strerror or error}{where}."


def tail(log: Path, *, lines: int = 15, start: int = 0) -> str:
    """Return the last lines that a process wrote to its log after byte `start`."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
