"""Judges a run: every order's history, attempts and swaps, against the rules and against what the client was told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from engine_common.transitions import EXECUTABLE, TERMINAL, TRANSITIONS, Status, is_retry
from load.claims import Claim
from load.evidence import AttemptRow, EventRow, Evidence, LandingRow, OrderRow

_FIRST = {Status.PENDING, Status.QUEUED}
_LEAVE_THE_STATUS = ("recovered", "cancel_requested", "landed")
# The chain decides the attempt that was under way, and no further one begins.
_AFTER_A_CANCEL_REQUEST = (Status.CANCELLED, Status.CONFIRMED)


class Wrong(StrEnum):
    """What can be wrong with an order."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    ILLEGAL = "illegal history"
    UNEXPLAINED = "unexplained"
    MISTOLD = "mistold"


@dataclass(frozen=True)
class Violation:
    """A rule that was broken."""

    wrong: Wrong
    order_id: str
    text: str


def judge(evidence: Evidence, claims: Iterable[Claim]) -> list[Violation]:
    """Return every violation; `claims` is the client's own list of accepted orders."""
    landings: defaultdict[str, list[LandingRow]] = defaultdict(list)
    for landing in evidence.landings:
        landings[landing.order_id].append(landing)
    found = [*_judge_claims(evidence, list(claims)), *_judge_ledger(evidence), *_judge_signatures(evidence)]
    for order in evidence.orders.values():
        events = evidence.events.get(order.order_id, ())
        attempts = evidence.attempts.get(order.order_id, ())
        found += [Violation(Wrong.ILLEGAL, order.order_id, text) for text in illegal_steps(order, events)]
        found += _judge_end(order)
        found += _judge_attempts(order, events, attempts)
        found += _judge_swaps(order, attempts, landings.get(order.order_id, ()))
    return found


def illegal_steps(order: OrderRow, events: Sequence[EventRow]) -> Iterator[str]:
    """Yield what is illegal in one history: gaps, moves that the machine does not have, wrong attempts, a wrong end."""
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield f"its seqs are {[event.seq for event in events]}"
    if not events:
        yield "it has none"
        return
    first, last = events[0], events[-1]
    if (first.type, first.previous_status) != ("status", None) or first.status not in _FIRST or first.attempt != 1:
        yield f"it begins with {first.type} {first.status}, attempt {first.attempt}"
    yield from _going_on_after_a_cancel_request(events)
    for before, event in pairwise(events):
        yield from (f"seq {event.seq}: {text}" for text in _illegal_step(before, event))
    if (last.seq, last.status, last.attempt) != (order.version, order.status, order.attempt):
        stored = f"{order.status}, version {order.version}, attempt {order.attempt}"
        yield f"its last event is {last.status}, seq {last.seq}, attempt {last.attempt}, and the order is {stored}"


def _going_on_after_a_cancel_request(events: Sequence[EventRow]) -> Iterator[str]:
    requested = next((event.seq for event in events if event.type == "cancel_requested"), None)
    for event in events:
        left_alone = event.type in _LEAVE_THE_STATUS or event.status in _AFTER_A_CANCEL_REQUEST
        if requested is not None and event.seq > requested and not left_alone:
            yield f"seq {event.seq}: {event.status} after its owner asked to cancel it in seq {requested}"


def _illegal_step(before: EventRow, event: EventRow) -> Iterator[str]:
    source, target = Status(before.status), Status(event.status)
    if event.at < before.at:
        yield f"it happened before seq {before.seq}"
    if source in TERMINAL:
        yield f"{event.type} {target} after the terminal {source}"
    if event.type in _LEAVE_THE_STATUS:
        if target is not source or event.previous_status is not None or event.attempt != before.attempt:
            yield f"{event.type} from {source}, attempt {before.attempt}, to {target}, attempt {event.attempt}"
        return
    retry = is_retry(source, target)
    if event.previous_status != source:
        yield f"it claims to come from {event.previous_status}, and {source} was before it"
    if target not in TRANSITIONS[source]:
        yield f"there is no move from {source} to {target}"
    if event.type != ("retrying" if retry else "status"):
        yield f"the move from {source} to {target} is called {event.type}"
    if event.attempt != before.attempt + retry:
        yield f"attempt {before.attempt} became {event.attempt} on the way from {source} to {target}"


def _judge_claims(evidence: Evidence, claims: Sequence[Claim]) -> Iterator[Violation]:
    accepted = {claim.order_id for claim in claims}
    for claim in claims:
        order = evidence.orders.get(claim.order_id)
        if order is None:
            yield Violation(Wrong.LOST, claim.order_id, f"the client holds its acceptance (key {claim.key})")
        elif claim.cancelled and order.status != Status.CANCELLED:
            yield Violation(Wrong.MISTOLD, claim.order_id, f"the client was told that it is cancelled: {order.status}")
        elif claim.cancel_kept and order.status not in _AFTER_A_CANCEL_REQUEST:
            yield Violation(
                Wrong.MISTOLD, claim.order_id, f"its owner's request to cancel was forgotten: {order.status}"
            )
        elif order.key != claim.key:
            yield Violation(Wrong.MISTOLD, claim.order_id, f"accepted for key {claim.key}, stored for {order.key}")
        elif claim.trace_id not in order.traceparent:
            yield Violation(Wrong.MISTOLD, claim.order_id, f"its trace was {claim.trace_id}, now {order.traceparent}")
    for order_id in evidence.orders.keys() - accepted:
        key = evidence.orders[order_id].key
        yield Violation(Wrong.UNEXPLAINED, order_id, f"nobody was told of it (key {key})")
    for key, count in Counter(order.key for order in evidence.orders.values()).items():
        if count > 1:
            yield Violation(Wrong.DOUBLED, "", f"{count} orders of key {key}")


def _judge_ledger(evidence: Evidence) -> Iterator[Violation]:
    signed = {
        (attempt.order_id, attempt.attempt, attempt.signature)
        for attempts in evidence.attempts.values()
        for attempt in attempts
    }
    for landing in evidence.landings:
        if landing.order_id not in evidence.orders:
            yield Violation(Wrong.UNEXPLAINED, landing.order_id, f"{landing.signature} landed without an order")
        elif (landing.order_id, landing.attempt, landing.signature) not in signed:
            yield Violation(Wrong.UNEXPLAINED, landing.order_id, f"{landing.signature} landed and is no attempt of it")


def _judge_signatures(evidence: Evidence) -> Iterator[Violation]:
    owners: defaultdict[str, list[AttemptRow]] = defaultdict(list)
    for attempts in evidence.attempts.values():
        for attempt in attempts:
            if attempt.signature is not None:
                owners[attempt.signature].append(attempt)
    for signature, attempts in owners.items():
        if len(attempts) > 1:
            yield Violation(Wrong.ILLEGAL, attempts[0].order_id, f"{len(attempts)} attempts have signature {signature}")


def _judge_end(order: OrderRow) -> Iterator[Violation]:
    if order.status in EXECUTABLE or order.status == Status.PENDING:
        yield Violation(Wrong.STUCK, order.order_id, f"it is {order.status}, and everything else has come to rest")


def _judge_attempts(order: OrderRow, events: Sequence[EventRow], attempts: Sequence[AttemptRow]) -> Iterator[Violation]:
    signed = {attempt.attempt: attempt.signature for attempt in attempts if attempt.signature is not None}
    submitted = {event.attempt: event.data.get("txHash") for event in events if _begins_attempt(event)}
    if signed != submitted:
        yield Violation(Wrong.ILLEGAL, order.order_id, f"it was submitted as {submitted} and signed as {signed}")
    open_attempts = [attempt.attempt for attempt in attempts if attempt.outcome is None]
    if order.status in TERMINAL and open_attempts:
        yield Violation(Wrong.ILLEGAL, order.order_id, f"it is {order.status}, its attempts {open_attempts} are open")
    confirmed = [attempt.attempt for attempt in attempts if attempt.outcome == "confirmed"]
    expected = [order.attempt] if order.status == Status.CONFIRMED else []
    if confirmed != expected:
        yield Violation(Wrong.ILLEGAL, order.order_id, f"it is {order.status}, its confirmed attempts are {confirmed}")


def _begins_attempt(event: EventRow) -> bool:
    return event.type == "status" and event.status == Status.SUBMITTED


def _judge_swaps(
    order: OrderRow, attempts: Sequence[AttemptRow], landings: Sequence[LandingRow]
) -> Iterator[Violation]:
    swaps = [landing for landing in landings if landing.error is None]
    swapped: Mapping[str, LandingRow] = {landing.signature: landing for landing in swaps}
    if len(swaps) > 1:
        yield Violation(Wrong.DOUBLED, order.order_id, f"{len(swaps)} swaps landed: {sorted(swapped)}")
    if order.status == Status.CONFIRMED:
        swap = swapped.get(order.tx_hash or "")
        if swap is None:
            yield Violation(Wrong.LOST, order.order_id, f"it is confirmed, and {order.tx_hash} never swapped anything")
        elif swap.amount_out != order.amount_out:
            yield Violation(Wrong.MISTOLD, order.order_id, f"it paid {swap.amount_out}, and says {order.amount_out}")
    elif swaps and order.status in TERMINAL:
        yield Violation(Wrong.UNEXPLAINED, order.order_id, f"it is {order.status}, and {sorted(swapped)} swapped")
    for attempt in attempts:
        if attempt.outcome not in (None, "confirmed") and attempt.signature in swapped:
            text = f"attempt {attempt.attempt} is recorded as {attempt.outcome}, and its swap succeeded"
            yield Violation(Wrong.DOUBLED if len(swaps) > 1 else Wrong.UNEXPLAINED, order.order_id, text)
        swap = swapped.get(attempt.signature or "")
        minimum = attempt.min_amount_out
        if swap and minimum is not None and (swap.amount_out or 0) < minimum:
            text = f"attempt {attempt.attempt} paid {swap.amount_out}, below its minimum output of {minimum}"
            yield Violation(Wrong.ILLEGAL, order.order_id, text)
