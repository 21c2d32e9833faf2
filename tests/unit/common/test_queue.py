"""The message between api and worker, to the byte that Dramatiq keeps in Redis."""

import orjson
import pytest

from engine_common import queue
from support.orders import TRACEPARENT, new_id


def test_a_message_asks_the_actor_to_execute_a_list_of_order_ids() -> None:
    """Queue `orders`, actor `execute_orders`, one argument; the sender's context is an option."""
    ids = [new_id() for _ in range(3)]
    sent = orjson.loads(queue.execution_message(ids, TRACEPARENT).encode())
    assert (sent["queue_name"], sent["actor_name"]) == ("orders", "execute_orders")
    assert sent["args"] == [[str(order_id) for order_id in ids]]
    assert sent["kwargs"] == {}
    assert sent["options"] == {"traceparent": TRACEPARENT}


def test_a_message_without_a_context_carries_no_option() -> None:
    """A link to nothing is no link."""
    assert queue.execution_message([new_id()], None).options == {}


def test_a_message_carries_at_most_64_ids() -> None:
    """More would make one worker wait for room that others have."""
    assert len(queue.execution_message([new_id() for _ in range(64)], None).args[0]) == 64
    with pytest.raises(ValueError, match="at most 64 order ids, not 65"):
        queue.execution_message([new_id() for _ in range(65)], None)


def test_a_sender_has_no_middleware_that_could_repeat_or_delay() -> None:
    """PostgreSQL is the retry."""
    broker = queue.make_sender("redis://127.0.0.1:1/0")
    assert broker.middleware == []
    broker.close()
