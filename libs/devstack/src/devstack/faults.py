"""Foreseeable faults, each said in one sentence to the person at the terminal.

StackError
├── ToolMissing       a binary that the stack needs is not installed
├── PortTaken         somebody else listens where the stack should
├── AlreadyRunning    another stack holds the directory
├── DiskFull          no room for the stack's data
├── ProcessFailed     a process of the stack does not come up; carries the tail of its log
├── StopRequested     somebody stopped the stack before it was ready
├── OrderRefused      the api did not take an order of the demo
├── StackNotFound     a command needs a running stack and there is none
├── DatabaseUnreadable   the audit cannot read the orders
├── LedgerUnreadable     the audit cannot read the ledger
└── WorkersRunning       orders of a restored database cannot be ended while somebody executes them
"""

import errno
from pathlib import Path


class StackError(Exception):
    """A fault that is no bug of the stack: its text is one clear sentence, never a traceback."""


class ToolMissing(StackError):
    """A binary that the stack needs is not installed, or not for this machine."""


class PortTaken(StackError):
    """The stack cannot listen on a port that it should serve; mostly somebody else does."""


class AlreadyRunning(StackError):
    """Another stack is running in the directory."""


class DiskFull(StackError):
    """The file system that holds the stack has no room left."""


class ProcessFailed(StackError):
    """A process of the stack did not come up, or a step of bringing it up failed."""


class StopRequested(StackError):
    """Somebody asked the stack to stop while it was still coming up."""


class OrderRefused(StackError):
    """The api did not take an order of the demo."""


class StackNotFound(StackError):
    """A command needs a running stack, and neither directory nor environment names one."""


class DatabaseUnreadable(StackError):
    """PostgreSQL cannot be reached, or holds no orders' schema."""


class LedgerUnreadable(StackError):
    """The mock DEX gave no ledger, or something that is none."""


class WorkersRunning(StackError):
    """Workers execute the orders that are to be ended."""


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
