"""What the api counts; every instrument does nothing unless metrics are collected."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from engine_api import problems
from engine_common.telemetry import metrics
from engine_common.transitions import Status

_meter = metrics.meter()
_accepted = _meter.create_counter("engine.orders.accepted", description="Orders that were stored")
_finished = _meter.create_counter("engine.orders.finished", description="Orders that reached a terminal state")
_refused = _meter.create_counter("engine.requests.refused", description="Requests answered with a problem")
_batch_size = _meter.create_histogram(
    "engine.batch.size",
    description="Items written or asked for together",
    explicit_bucket_boundaries_advisory=metrics.BATCH_SIZES,
)
_open_sockets = _meter.create_up_down_counter("engine.sockets.open", description="WebSockets that are open")


def begin_at_zero() -> None:
    """Give the counters their series; Prometheus sees no increase in a series that is born with a count."""
    for status in (Status.PENDING, Status.QUEUED):
        _accepted.add(0, {"status": status})
    _finished.add(0, {"status": Status.CANCELLED, "reason": ""})
    for kind in problems.KINDS:
        _refused.add(0, {"code": kind.code})


def count_accepted(status: str) -> None:
    """Count an order that was stored in this status."""
    if metrics.enabled():
        _accepted.add(1, {"status": status})


def count_cancelled() -> None:
    """Count an order that its owner cancelled here; the worker counts those that end in its hands."""
    if metrics.enabled():
        _finished.add(1, {"status": Status.CANCELLED, "reason": ""})


def count_refused(code: str) -> None:
    """Count a request that was answered with a problem of this code."""
    if metrics.enabled():
        _refused.add(1, {"code": code})


def record_batch(kind: str, size: int) -> None:
    """Record how many items were written together."""
    if metrics.enabled():
        _batch_size.record(size, {"kind": kind})


def count_socket(change: int) -> None:
    """Count a WebSocket that was opened (1) or closed (-1)."""
    if metrics.enabled():
        _open_sockets.add(change)


def observe_backlog(unfinished: Callable[[], int], bound: int) -> None:
    """Report the unfinished orders, and how many there may be, whenever metrics are read.

    Every api process counts the orders of all of them: take the maximum, not the sum.
    """

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(unfinished())]

    def observe_bound(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(bound)]

    _meter.create_observable_gauge("engine.orders.unfinished", [observe], description="Orders from queued to submitted")
    _meter.create_observable_gauge(
        "engine.orders.unfinished.bound", [observe_bound], description="Unfinished orders beyond which none is taken"
    )
