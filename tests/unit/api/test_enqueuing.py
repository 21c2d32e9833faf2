"""Waking the workers from a thread."""

import logging
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from redis.exceptions import ConnectionError as RedisAway

from engine_api.enqueuing import CAPACITY, Enqueuer
from engine_common.telemetry.tracing import TraceContext
from support.orders import new_id

CONTEXT = TraceContext.new()


class Broker:
    """Takes messages, once it is let, and can be away."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.fault: Exception | None = None  # once
        self.failed = threading.Event()

    def enqueue(self, message: Any) -> None:
        self.open.wait(30)
        if self.away:
            raise RedisAway("nobody there")
        if self.fault is not None:
            fault, self.fault = self.fault, None
            self.failed.set()
            raise fault
        self.messages.append(message)

    @property
    def ids(self) -> list[UUID]:
        return [UUID(order_id) for message in self.messages for order_id in message.args[0]]


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def enqueuer(broker: Broker) -> Iterator[Enqueuer]:
    """Run an enqueuer over the broker; it has ended after the test."""
    running = Enqueuer(broker)
    running.start()
    yield running
    broker.open.set()
    running.close()


def test_every_id_is_sent_once_and_in_order(enqueuer: Enqueuer, broker: Broker) -> None:
    """At the latest when the process ends."""
    ids = [new_id() for _ in range(1_000)]
    for order_id in ids:
        enqueuer.enqueue(order_id, CONTEXT)
    enqueuer.close()
    assert broker.ids == ids


def test_what_gathers_goes_in_messages_of_at_most_sixty_four(enqueuer: Enqueuer, broker: Broker) -> None:
    """As the queue's contract allows; each carries the context of its first order, for the link."""
    broker.open.clear()
    for _ in range(1 + 64 + 64 + 1):
        enqueuer.enqueue(new_id(), CONTEXT)
    broker.open.set()
    enqueuer.close()
    sizes = [len(message.args[0]) for message in broker.messages]
    assert sum(sizes) == 130
    assert max(sizes) == 64
    assert {message.options["traceparent"] for message in broker.messages} == {CONTEXT.traceparent}


def test_a_dead_redis_and_an_overflow_cost_one_line_in_the_log(
    enqueuer: Enqueuer, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The workers find the orders by themselves."""
    broker.away = True
    broker.open.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(CAPACITY + 500):
            enqueuer.enqueue(new_id(), CONTEXT)
        broker.open.set()
        enqueuer.close()
    assert broker.messages == []
    assert len(caplog.records) == 1
    assert "workers find them" in caplog.text


def test_an_error_that_nobody_foresaw_does_not_end_the_thread(
    enqueuer: Enqueuer, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback, and later orders are announced."""
    broker.fault = RuntimeError("unforeseen")
    enqueuer.enqueue(new_id(), CONTEXT)
    assert broker.failed.wait(30)
    later = new_id()
    enqueuer.enqueue(later, CONTEXT)
    enqueuer.close()
    assert broker.ids == [later]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert "unforeseen" in caplog.text
