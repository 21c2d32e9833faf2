"""What must hold when a schedule has ended, whatever happened in it."""

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from engine_common.tokens import TOKENS
from engine_common.transitions import TRANSITIONS, Status, is_retry
from simulation.model_chain import Accepted
from simulation.model_tables import OrderRow

if TYPE_CHECKING:
    from simulation.world import World

# How an attempt may end whose transaction was signed, and yet has landed successfully: not at all.
_MEANS_NOT_LANDED = ("transaction_expired", "slippage_exceeded", "swap_failed", "swap_rejected", "unexpected_error")


_MANY = 2


class Violation(NamedTuple):
    """Something that must not happen; `kind` is one word or two for all of its kind."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}: {self.what}"


def judge(world: "World") -> list[Violation]:
    """Return every violation that the tables and the chain show together."""
    landed: dict[int, list[Accepted]] = {}
    for each in world.chain.landed():
        landed.setdefault(each.swap.order, []).append(each)
    found: list[Violation] = []
    for row in world.database.orders.values():
        number = world.number(row.id)
        checks = [_history(world, row), _landings(world, row, landed.get(number, [])), _attempts(world, row)]
        found += [Violation(kind, f"order {number}: {what}") for check in checks for kind, what in check]
    return found


def _history(world: "World", row: OrderRow) -> Iterator[Violation]:
    events = world.database.events[row.id]
    if [event.seq for event in events] != list(range(1, row.version + 1)):
        yield Violation(
            "gap", f"its history has gaps: {[event.seq for event in events]}, and its version is {row.version}"
        )
    status, attempt, requested = events[0].status, 1, False
    for event in events[1:]:
        if event.type in ("recovered", "cancel_requested", "landed"):
            requested = requested or event.type == "cancel_requested"
            if event.status != status or event.previous_status is not None:
                yield Violation(
                    "history", f"event {event.seq} ({event.type}) leaves it in {event.status}, and it was {status}"
                )
            continue
        if requested and event.status not in ("confirmed", "cancelled"):
            yield Violation(
                "cancel forgotten", f"event {event.seq}: it is {event.status} although its owner cancelled it"
            )
        source, target = Status(status), Status(event.status)
        if event.previous_status != status or target not in TRANSITIONS[source]:
            yield Violation(
                "history", f"event {event.seq} says {event.previous_status} -> {event.status}, and it was {status}"
            )
        attempt += is_retry(source, target)
        if event.attempt != attempt:
            yield Violation("history", f"event {event.seq} is of attempt {event.attempt} instead of {attempt}")
        status = event.status
    if (status, attempt) != (row.status, row.attempt):
        yield Violation(
            "history", f"its history ends in {status}, attempt {attempt}, and it is {row.status}, attempt {row.attempt}"
        )
    if row.attempt > world.plan.max_attempts:
        yield Violation("attempts", f"it was tried {row.attempt} times instead of at most {world.plan.max_attempts}")
    world.counts[f"end: {row.status}"] += 1
    world.counts[f"end: {row.attempt} attempts"] += 1


def _landings(world: "World", row: OrderRow, landed: list[Accepted]) -> Iterator[Violation]:
    swapped = [each for each in landed if each.error is None]
    for each in landed:
        attempt = world.database.signatures.get(each.signature)
        if attempt is None or attempt.order_id != row.id:
            yield Violation("unexplained", f"{each.signature} landed and is no attempt of it")
    if len(swapped) > 1:
        yield Violation("doubled", f"{len(swapped)} swaps landed: {[each.signature for each in swapped]}")
    if row.status == Status.CONFIRMED:
        if [each.signature for each in swapped] != [row.tx_hash]:
            yield Violation(
                "lost", f"it is confirmed by {row.tx_hash}, and {[each.signature for each in swapped]} landed"
            )
        elif row.amount_out != swapped[0].paid:
            yield Violation("paid", f"it was paid {swapped[0].paid}, and says {row.amount_out}")
    elif row.finished_at is not None and swapped:
        yield Violation("unexplained", f"it is {row.status}, and {[each.signature for each in swapped]} landed")
    for each in swapped:
        minimum = row.effective_min_amount_out
        if minimum is None or each.paid < minimum:
            yield Violation("floor", f"{each.signature} paid {each.paid}, below its minimum output of {minimum}")


def _attempts(world: "World", row: OrderRow) -> Iterator[Violation]:
    attempts = [each for each in world.database.attempts.values() if each.order_id == row.id]
    succeeded = {each.signature for each in world.chain.landed() if each.error is None}
    minimums: Counter[int | None] = Counter()
    for each in attempts:
        world.counts[f"attempt: {each.outcome or 'open'}"] += 1
        if each.signature is None:
            continue
        minimums[each.min_amount_out] += 1
        if each.outcome in _MEANS_NOT_LANDED and each.signature in succeeded:
            yield Violation(
                "verdict",
                f"attempt {each.attempt} is recorded as {each.outcome}, and {each.signature} landed successfully",
            )
        # What PostgreSQL refuses twice is stored without the attempt's outcome.
        if row.finished_at is not None and each.outcome is None and world.counts["fault: rejected (move)"] < _MANY:
            yield Violation("undecided", f"it is {row.status}, and its attempt {each.attempt} was never decided")
    due = _minimum_output(world, row)
    if minimums and set(minimums) != {due}:
        yield Violation("floor", f"its attempts had the minimum outputs {sorted(map(str, minimums))} instead of {due}")


def _minimum_output(world: "World", row: OrderRow) -> int | None:
    """Work out the minimum output from the order's terms and the quote that its first route chose."""
    routing = next((each.data["routing"] for each in world.database.events[row.id] if "routing" in each.data), None)
    if routing is None:
        return None
    (chosen,) = [quote["amountOut"] for quote in routing["quotes"] if quote["venue"] == routing["chosen"]]
    quoted = int(Decimal(chosen) * 10 ** TOKENS[row.token_out].decimals)
    by_slippage = math.ceil(Fraction(quoted * (10_000 - (row.slippage_bps or 0)), 10_000))
    return max(by_slippage, world.plan.orders[world.number(row.id)].floor or 0)
