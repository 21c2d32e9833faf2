"""What a schedule is made of: orders, the world's constants, and faults; all of it follows from one seed.

Whatever no fault names goes well: a swap that no fate is given lands after a second, a call that no fault breaks is
answered within milliseconds. So a plan with fewer faults is a calmer schedule, and shrinking means leaving faults out.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

Phase = Literal["before", "sent", "after"]
Service = Literal["store", "heart", "chain", "venues"]


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in a worker's life: before its n-th call of a kind leaves, once it has left, or after its effect."""

    call: str
    nth: int
    phase: Phase

    def __str__(self) -> str:
        when = {"before": "before", "sent": "right after sending", "after": "at the answer to"}[self.phase]
        return f"{when} its {_nth(self.nth)} {self.call}"


@dataclass(frozen=True, slots=True)
class Blow:
    """Something happens to a whole worker process, at a time in seconds or at a point.

    `crash`: gone at once, and another one comes after `for_s`. `stall`: nothing proceeds for `for_s`, then everything
    goes on with stale memory. `stop`: a graceful stop, and another one comes after `for_s`.
    """

    kind: Literal["crash", "stall", "stop"]
    worker: int
    at: float | Point
    for_s: float

    def __str__(self) -> str:
        when = f"at {self.at:.3f} s" if isinstance(self.at, float) else f"{self.at}"
        then = f"for {self.for_s:.3f} s" if self.kind == "stall" else f"and is replaced after {self.for_s:.3f} s"
        return f"worker {self.worker}: {self.kind} {when}, {then}"


@dataclass(frozen=True, slots=True)
class Outage:
    """For a while nobody, or only one process, reaches the store, the chain or the venues; replies are lost as well.

    `heart`: only heartbeats do not arrive.
    """

    kind: Literal["outage"]
    what: Service
    at: float
    for_s: float
    who: str | None = None

    def __str__(self) -> str:
        if self.what == "heart":
            return f"heartbeats of {self.who or 'everybody'} are lost {_during(self)}"
        return f"{self.who or 'nobody'} {'cannot reach' if self.who else 'reaches'} the {self.what} {_during(self)}"


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """A process's n-th call of a kind goes wrong.

    `refused`: an error and no effect; `reply lost`: an effect and an error; `lingers`: an error at once, and its effect
    `for_s` later; `slow`: its effect `for_s` later, then its reply; `late reply`: its reply `for_s` after its effect;
    `rejected`: PostgreSQL is there and refuses the statement, as a trigger does.
    """

    kind: Literal["broken call"]
    who: str
    call: str
    nth: int
    how: Literal["refused", "reply lost", "lingers", "slow", "late reply", "no liquidity", "rejected"]
    for_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.who}'s {_nth(self.nth)} {self.call}: {self.how}" + (f" {self.for_s:.3f} s" if self.for_s else "")


@dataclass(frozen=True, slots=True)
class Behind:
    """For a while a node that is `by_s` behind answers every `one_in`-th of a process's calls of each kind.

    But for calls of the kind `fresh`: those are always answered by a node that is up to date.
    """

    kind: Literal["behind"]
    at: float
    for_s: float
    by_s: float
    one_in: int
    fresh: str | None = None

    def __str__(self) -> str:
        but = f" (but for {self.fresh})" if self.fresh else ""
        return f"one in {self.one_in} answers of the chain{but} is {self.by_s:.3f} s old {_during(self)}"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an order's attempt on the chain, `after_s` after it was accepted.

    `last block` lands at the very end of the last block in which it may.
    """

    kind: Literal["fate"]
    order: int
    attempt: int
    how: Literal["lands", "last block", "never"]
    error: int | None = None
    after_s: float = 1.0

    def __str__(self) -> str:
        how = {
            "lands": f"lands after {self.after_s:.3f} s",
            "last block": "lands in its last block",
            "never": "is lost",
        }
        error = "" if self.error is None or self.how == "never" else f" with error {self.error}"
        return f"order {self.order}, attempt {self.attempt}: {how[self.how]}{error}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """The first sendings of an order's attempt are forgotten by the node that took them."""

    kind: Literal["dropped"]
    order: int
    attempt: int
    times: int

    def __str__(self) -> str:
        return f"order {self.order}, attempt {self.attempt}: the first {self.times} sendings are dropped"


@dataclass(frozen=True, slots=True)
class Vanishing:
    """An order's attempt is seen, `after_s` after it was accepted, in a block that is not confirmed and vanishes."""

    kind: Literal["vanishing"]
    order: int
    attempt: int
    after_s: float
    error: int | None

    def __str__(self) -> str:
        how = "landed" if self.error is None else f"landed with error {self.error}"
        return (
            f"order {self.order}, attempt {self.attempt}: seen {how} after {self.after_s:.3f} s on a fork that vanishes"
        )


@dataclass(frozen=True, slots=True)
class Message:
    """What the queue does to the message that announces an order; `again` brings it to the same worker twice."""

    kind: Literal["message"]
    order: int
    how: Literal["lost", "twice", "again", "late"]
    after_s: float = 0.0

    def __str__(self) -> str:
        return f"order {self.order}: its message is {self.how}" + (f" by {self.after_s:.3f} s" if self.after_s else "")


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client cancels an order, `after_s` after it was placed or first reached a status."""

    kind: Literal["cancel"]
    order: int
    after_s: float
    status: str | None = None

    def __str__(self) -> str:
        return f"order {self.order} is cancelled {self.after_s:.3f} s after {self.status or 'it was placed'}"


@dataclass(frozen=True, slots=True)
class Price:
    """From a time on the pools pay that share, in thousandths, of what they paid at first."""

    kind: Literal["price"]
    at: float
    thousandths: int

    def __str__(self) -> str:
        return f"from {self.at:.3f} s on the pools pay {self.thousandths / 10:g} %"


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The database's clock is set back."""

    kind: Literal["clock step"]
    at: float
    by_s: float

    def __str__(self) -> str:
        return f"the database's clock steps back by {self.by_s:.3f} s at {self.at:.3f} s"


Fault = Annotated[
    Blow | Outage | BrokenCall | Behind | Fate | Dropped | Vanishing | Message | Cancel | Price | ClockStep,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """When an order is placed, and when a pending one is executed; `floor`: the user's own, in base units."""

    at: float
    execute_after_s: float | None = None
    floor: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule. Times are in seconds of simulated time, blocks and heights in blocks of `BLOCK_S`."""

    seed: int
    orders: tuple[PlannedOrder, ...]
    faults: tuple[Fault, ...] = ()
    workers: int = 2
    max_attempts: int = 3
    max_in_flight: int = 10
    valid_blocks: int = 8
    finality_blocks: int = 0
    remembered_blocks: int = 150
    drain_s: float = 0.5


BLOCK_S = 0.4

_PLAN = TypeAdapter(Plan)


def to_json(plan: Plan) -> str:
    """Return the plan as text from which it can be replayed."""
    return _PLAN.dump_json(plan, exclude_defaults=True).decode()


def from_json(text: str) -> Plan:
    """Return the plan of the text. Raises pydantic.ValidationError."""
    return _PLAN.validate_json(text)


def _during(fault: Outage | Behind) -> str:
    return f"from {fault.at:.3f} s for {fault.for_s:.3f} s"


def _nth(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number if number < 20 else number % 10, 'th') }"
