"""The unprivileged account that servers run as when the stack is started by root."""

import os
import pwd
import stat
from functools import cache
from pathlib import Path
from typing import NamedTuple

from devstack.faults import ToolMissing

_CANDIDATES = ("nobody", "daemon")


class Account(NamedTuple):
    """A user of this machine, by numbers."""

    uid: int
    gid: int


@cache
def server_account() -> Account | None:
    """Return the account to drop to, or None where nothing has to be dropped.

    Raises ToolMissing when root finds no unprivileged user: PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ToolMissing(f"PostgreSQL does not run as root, and this machine has none of the users {_CANDIDATES}.")


def can_use(account: Account, path: Path) -> bool:
    """Tell whether the account may reach and execute a file, judged by the mode bits of it and of all its parents."""
    resolved = path.resolve()
    return all(_may_enter(account, each) for each in (resolved, *resolved.parents))


def _may_enter(account: Account, path: Path) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
