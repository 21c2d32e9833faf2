"""What a run prints: the verdict with its evidence, and what the run was like."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from chaos.client import Client
from chaos.conductor import Befallen
from chaos.measures import recoveries, summary, unserved
from load.evidence import Evidence
from load.followers import Following, WalletFollowing
from load.oracle import Violation, Wrong

_SHOWN = 20
_AROUND_S = 15.0


@dataclass
class Outcome:
    """All that is known of a run when it is over."""

    seed: int
    evidence: Evidence
    violations: Sequence[Violation]
    faults: Sequence[Befallen]
    client: Client
    followings: Sequence[Following]
    wallet: WalletFollowing
    audit: Sequence[str]
    audit_clean: bool
    settled_s: float
    complaints: Counter[str]
    missed: Sequence[str] = field(default_factory=list)
    """what followers saw wrongly, and what the client never got done"""

    @property
    def happened(self) -> list[Befallen]:
        """The faults that were carried out."""
        return [fault for fault in self.faults if not fault.missed]

    @property
    def clean(self) -> bool:
        """Whether every rule held."""
        return not (self.violations or self.missed or self.client.surprises or self.complaints) and self.audit_clean

    def last_line(self) -> str:
        """Return the line that says it all."""
        orders = {(violation.wrong, violation.order_id) for violation in self.violations}
        counts = Counter(wrong for wrong, _ in orders)
        numbers = f"{len(self.evidence.orders)} orders, {len(self.happened)} faults, seed {self.seed}"
        first = ", ".join(f"{wrong} {counts[wrong]}" for wrong in (Wrong.LOST, Wrong.DOUBLED, Wrong.STUCK))
        if self.clean:
            return f"{first}, histories legal: {numbers}"
        others = {
            **{wrong.value: counts[wrong] for wrong in (Wrong.ILLEGAL, Wrong.UNEXPLAINED, Wrong.MISTOLD)},
            "missed by clients": len(self.missed),
            "surprising answers": len(self.client.surprises),
            "complaints in logs": self.complaints.total(),
        }
        return f"{first}, {', '.join(f'{name} {count}' for name, count in others.items())}: {numbers}"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the report, line by line; the last one is the verdict."""
    yield from _faults(outcome)
    yield from _orders(outcome)
    yield from _times(outcome)
    yield from _wrong(outcome)
    yield ""
    yield from (f"audit: {line}" for line in outcome.audit)
    yield outcome.last_line()


def _faults(outcome: Outcome) -> Iterator[str]:
    yield ""
    yield f"faults injected: {len(outcome.happened)}"
    yield from _table(Counter(fault.fault.kind.name for fault in outcome.happened))
    for fault in outcome.faults:
        if fault.missed:
            yield f"  not carried out: {fault.fault}: {fault.missed}"


def _orders(outcome: Outcome) -> Iterator[str]:
    client = outcome.client
    yield ""
    yield f"orders accepted: {len(client.claims)}, followed by WebSocket: {len(outcome.followings)}"
    yield from _table(Counter(order.status for order in outcome.evidence.orders.values()))
    yield "requests that were repeated:"
    yield from _table(client.refusals)
    yield "second steps:"
    yield from _table(client.outcomes)


def _times(outcome: Outcome) -> Iterator[str]:
    yield ""
    yield "pause of the orders that were taken over, from the fault to `recovered`, by cause:"
    pauses = recoveries(outcome.evidence.events.values(), outcome.happened)
    yield from _times_table(pauses)
    yield "longest time without an accepted order, of each fault that came alone, by kind:"
    yield from _times_table(unserved(outcome.client.served_at, outcome.happened))
    connections = [following.connections for following in outcome.followings]
    most = max(connections, default=0)
    yield f"connections of a follower: at most {most}, of the wallet's: {outcome.wallet.connections}"
    yield f"settled {outcome.settled_s:.1f} s after the last fault and the last order"


def _times_table(times: Mapping[str, Sequence[float]]) -> Iterator[str]:
    for name in sorted(times):
        yield f"  {name:<32} {summary(times[name])}"
    everything = [value for values in times.values() for value in values]
    yield f"  {'all together':<32} {summary(everything)}"


def _table(counts: Counter[str]) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        yield f"  {name:<40} {count:7}"


def _wrong(outcome: Outcome) -> Iterator[str]:
    for title, texts in (
        ("missed by clients", list(outcome.missed)),
        ("answers that the contract does not have", outcome.client.surprises),
        ("complaints in logs", [f"{count} x {text}" for text, count in outcome.complaints.most_common()]),
    ):
        if texts:
            yield ""
            yield f"{title}:"
            yield from (f"  {text}" for text in texts[:_SHOWN])
            if len(texts) > _SHOWN:
                yield f"  … and {len(texts) - _SHOWN} more"
    shown: set[str] = set()
    for violation in outcome.violations[:_SHOWN]:
        yield ""
        yield f"{violation.wrong}: order {violation.order_id}: {violation.text}"
        if violation.order_id not in shown:
            shown.add(violation.order_id)
            yield from story(outcome.evidence, violation.order_id, outcome.faults)
    if len(outcome.violations) > _SHOWN:
        yield f"… and {len(outcome.violations) - _SHOWN} more violations"


def story(evidence: Evidence, order_id: str, faults: Sequence[Befallen]) -> Iterator[str]:
    """Yield an order's history, attempts and landings, with the faults around them in their places."""
    events = evidence.events.get(order_id, ())
    told = [
        (event.at.timestamp(), f"{event.seq:3} {event.type} {event.status}, attempt {event.attempt}")
        for event in events
    ]
    if told:
        since, until = told[0][0] - 1, told[-1][0] + _AROUND_S
        told += [
            (fault.began_at, f"    ~ {fault.fault}")
            for fault in faults
            if fault.began_at < until and fault.ended_at > since
        ]
    for at, text in sorted(told):
        yield f"  {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f} {text}"
    for attempt in evidence.attempts.get(order_id, ()):
        yield f"  attempt {attempt.attempt}: {attempt.outcome}, {attempt.signature}"
    for landing in evidence.landings:
        if landing.order_id == order_id:
            yield f"  landed: attempt {landing.attempt}, error {landing.error}, {landing.signature}"
