"""Foreseeable faults of a deployment, each said in one sentence to the person at the terminal.

StackError (of devstack, which also has ToolMissing, PortTaken, DiskFull and OrderRefused)
├── ProgramFailed      a program that was called ended with an error; carries what it said last
├── ToolTooOld         a tool is there, in a version that does not suffice
├── DockerSilent       Docker does not answer
├── ClusterUnusable    the kind cluster is not as `up` made it
├── ContextUnusable    kubectl's context is missing, or its cluster does not answer
├── ImageMissing       an image that should be loaded is not there
├── SecretUnusable     the Secret lacks a key, or is gone while volumes that need it are there
├── ReleaseMissing     the release does not have what a command needs of it
├── ForwardFailed      kubectl forwards no port
├── ReleaseBusy        another helm is at work on the release, or was killed at it
├── RolloutFailed      pods do not become ready; a sentence for each kind of trouble
└── TraceIncomplete    an order's trace did not come together in Jaeger
"""

from devstack.faults import StackError

# What a tool says last is often where it was, and why stands some lines above.
_LINES_SHOWN = 6


class ProgramFailed(StackError):
    """A program that was called ended with an error."""

    def __init__(self, program: str, status: int, said: str) -> None:
        lines = [line for line in said.splitlines() if line.strip()][-_LINES_SHOWN:] or ["without a word"]
        told = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n    {line}" for line in lines)
        super().__init__(f"`{program}` ended with status {status}:{told}")
        self.status = status
        self.said = said.strip()


class ToolTooOld(StackError):
    """A tool is installed in a version that does not suffice."""


class DockerSilent(StackError):
    """Docker does not answer."""


class ClusterUnusable(StackError):
    """The kind cluster is there, but not as `up` makes it."""


class ContextUnusable(StackError):
    """Kubectl has no context to work on, or its cluster does not answer."""


class ImageMissing(StackError):
    """Docker does not have an image that should be loaded."""


class SecretUnusable(StackError):
    """The Secret of the release cannot be used or made."""


class ReleaseMissing(StackError):
    """The release, or a part of it that a command needs, is not there."""


class ForwardFailed(StackError):
    """A port of the cluster could not be forwarded."""


class ReleaseBusy(StackError):
    """The release is locked by another Helm operation, running or killed."""


class RolloutFailed(StackError):
    """Pods of the release do not become ready."""


class TraceIncomplete(StackError):
    """The trace of an order lacks services, or cannot be read."""
