"""Becomes another program that dies with its parent, as another user if told: the last step before exec.

Run as a file by `children.start`: a function between fork and exec would not be safe in a parent with threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the death signal, drop privileges and exec: PARENT_PID DEATH_SIGNAL UID|- GID|- PROGRAM [ARGUMENT…]."""
    parent, death_signal, uid, gid, *command = sys.argv[1:]
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    try:
        if uid != "-":
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        if libc is not None:  # after setuid, which clears the death signal
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the parent died before its child was started")
        os.execvp(command[0], command)  # noqa: S606 - to become another program is this file's purpose
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started as uid {uid}: {error.strerror}")


if __name__ == "__main__":
    main()
