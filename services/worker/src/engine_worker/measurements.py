"""What the worker counts and times; every instrument does nothing unless metrics are collected."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from engine_common.errors import NoLiquidity, verdicts
from engine_common.orders import EventType
from engine_common.store.door import Move, Moved
from engine_common.telemetry import metrics
from engine_common.transitions import TERMINAL, Status

_meter = metrics.meter()
# Seconds. OpenTelemetry's own are meant for milliseconds: everything would be below the first one.
_ORDER_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_QUOTE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
# Whose lease an order had that was taken over.
_EXPIRED, _RELEASED = "expired", "released"
# States in which venues and chain are asked.
_TRYING = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
_state_duration = _meter.create_histogram(
    "engine.order.state.duration",
    unit="s",
    description="How long orders stayed in a state",
    explicit_bucket_boundaries_advisory=_ORDER_SECONDS,
)
_queue_wait = _meter.create_histogram(
    "engine.order.queue.wait",
    unit="s",
    description="From queued until a worker began the order",
    explicit_bucket_boundaries_advisory=_ORDER_SECONDS,
)
_finished = _meter.create_counter("engine.orders.finished", description="Orders that reached a terminal state")
_retries = _meter.create_counter("engine.order.retries", description="Attempts that failed and were tried again")
_waits = _meter.create_counter("engine.order.waits", description="Pauses because a venue or the chain did not answer")
_recovered = _meter.create_counter("engine.orders.recovered", description="Orders taken over from another owner")
_unreadable = _meter.create_counter(
    "engine.orders.landed.unreadable", description="Orders whose swap landed while no node showed what it paid"
)
_swept = _meter.create_counter("engine.orders.swept", description="Orders found by the sweep, not by a message")
_batch_size = _meter.create_histogram(
    "engine.batch.size",
    description="Items written or asked for together",
    explicit_bucket_boundaries_advisory=metrics.BATCH_SIZES,
)
_node_refusals = _meter.create_counter(
    "engine.node.refusals", description="Requests that the node refused as a whole, by HTTP status"
)
_open_circuits = _meter.create_up_down_counter(
    "engine.venue.circuits.open", description="Venues that are left out because they do not answer"
)
_quote_latency = _meter.create_histogram(
    "engine.venue.quote.duration",
    unit="s",
    description="Latency of quotes",
    explicit_bucket_boundaries_advisory=_QUOTE_SECONDS,
)


def begin_at_zero() -> None:
    """Give the counters their series; Prometheus sees no increase in a series that is born with a count."""
    for lease in (_EXPIRED, _RELEASED):
        _recovered.add(0, {"lease": lease})
    _swept.add(0)
    _unreadable.add(0)
    for status in ("401", "403", "413", "429"):
        _node_refusals.add(0, {"status": status})
    for status in (Status.CONFIRMED, Status.CANCELLED):
        _finished.add(0, {"status": status, "reason": ""})
    for verdict in verdicts():
        _finished.add(0, {"status": Status.FAILED, "reason": verdict.code})
    for state in _TRYING:
        _waits.add(0, {"state": state})
        for verdict in verdicts():
            if verdict.retryable:
                _retries.add(0, {"reason": verdict.code, "state": state})


def record_move(move: Move, moved: Moved, state_s: float) -> None:
    """Count a committed move; `state_s` is how long the order was in the state that it left."""
    if not metrics.enabled():
        return
    if move.note is not None:
        if move.note is EventType.LANDED:
            _unreadable.add(1)
        return
    _state_duration.record(state_s, {"state": move.source})
    if move.source is Status.QUEUED:
        _queue_wait.record(state_s)
    if moved.status is Status.ROUTING and move.event_type is EventType.RETRYING:
        _retries.add(1, {"reason": move.outcome or "", "state": move.source})
    if moved.status in TERMINAL:
        reason = (move.error_code or "") if moved.status is Status.FAILED else ""
        _finished.add(1, {"status": moved.status, "reason": reason})


def record_wait(state: Status) -> None:
    """Count a pause of an order whose venue or chain did not answer."""
    _waits.add(1, {"state": state})


def record_recovered(*, deserted: bool) -> None:
    """Count an order that this worker took over: from one that died or hung, or from one that released it."""
    _recovered.add(1, {"lease": _EXPIRED if deserted else _RELEASED})


def record_swept(orders: int) -> None:
    """Count orders that the sweep found."""
    _swept.add(orders)


def record_batch(kind: str, size: int) -> None:
    """Record how many items went together."""
    if metrics.enabled():
        _batch_size.record(size, {"kind": kind})


def record_quote(venue: str, took_s: float, failure: Exception | None) -> None:
    """Record a venue's answer."""
    if not metrics.enabled():
        return
    outcome = "ok" if failure is None else "no_liquidity" if isinstance(failure, NoLiquidity) else "unreachable"
    _quote_latency.record(took_s, {"venue": venue, "outcome": outcome})


def record_node_refusal(status: int) -> None:
    """Count a request that the node refused as a whole."""
    _node_refusals.add(1, {"status": str(status)})


def record_circuit(venue: str, change: int) -> None:
    """Record that a venue's circuit opened (1) or closed (-1)."""
    _open_circuits.add(change, {"venue": venue})


def observe_in_flight(in_flight: Callable[[], int]) -> None:
    """Report how many orders the process carries whenever metrics are read."""

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(in_flight())]

    _meter.create_observable_gauge("engine.orders.in_flight", [observe], description="Orders carried right now")


def observe_ready(ready: Callable[[], bool]) -> None:
    """Report whether the process takes orders (1) or not (0) whenever metrics are read."""

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(ready()))]

    _meter.create_observable_gauge("engine.worker.ready", [observe], description="Whether the worker takes orders")
