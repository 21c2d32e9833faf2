"""The state machine of an order, as data: guards, schema, documentation and tests derive from it."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """A state of an order; `docs/contracts.md` and the README say what each means."""

    PENDING = "pending"
    QUEUED = "queued"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.ROUTING, Status.CANCELLED}),
    Status.ROUTING: frozenset({Status.BUILDING, Status.ROUTING, Status.FAILED, Status.CANCELLED}),
    Status.BUILDING: frozenset({Status.SUBMITTED, Status.ROUTING, Status.FAILED, Status.CANCELLED}),
    # Cancelled only in place of a retry or a failure: the chain has ended the attempt, and its owner asked to stop.
    Status.SUBMITTED: frozenset({Status.CONFIRMED, Status.ROUTING, Status.FAILED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}

TERMINAL = frozenset(status for status, targets in TRANSITIONS.items() if not targets)

# From these a move to `routing` is a retry: the attempt is spent and the next one begins.
RETRYABLE_FROM = frozenset(status for status, targets in TRANSITIONS.items() if Status.ROUTING in targets) - {
    Status.QUEUED
}

# What a worker executes; `pending` waits for its owner's word.
EXECUTABLE = frozenset(TRANSITIONS) - TERMINAL - {Status.PENDING}


def is_retry(source: Status, target: Status) -> bool:
    """Tell whether the move from source to target begins a new attempt."""
    return target is Status.ROUTING and source in RETRYABLE_FROM


class IllegalTransition(ValueError):
    """Somebody asked for a move that the state machine does not have."""


def check(source: Status, target: Status) -> None:
    """Raise IllegalTransition unless the table has the move from source to target."""
    if target not in TRANSITIONS[source]:
        raise IllegalTransition(f"an order cannot go from {source} to {target}")
