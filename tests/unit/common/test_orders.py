"""An order's and an event's public face."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from engine_common.orders import Event, event_json, timestamp
from engine_common.transitions import Status
from support.orders import stored_order

AT = datetime(2026, 2, 3, 4, 5, 6, 789_999, tzinfo=UTC)


def event(**changes: object) -> Event:
    order_id = stored_order().id
    fields: dict[str, object] = {
        "order_id": order_id,
        "seq": 4,
        "type": "status",
        "status": "submitted",
        "previous_status": "building",
        "attempt": 2,
        "at": AT,
        "data": {"txHash": "5h6x"},
    }
    return Event(**(fields | changes))


def test_an_event_has_the_fields_of_the_public_interface() -> None:
    """Names in camel case, the time in UTC with milliseconds, the transaction's id also at the top level."""
    said = event()
    assert orjson.loads(event_json(said)) == {
        "type": "status",
        "orderId": str(said.order_id),
        "seq": 4,
        "status": "submitted",
        "previousStatus": "building",
        "attempt": 2,
        "timestamp": "2026-02-03T04:05:06.789Z",
        "txHash": "5h6x",
        "data": {"txHash": "5h6x"},
    }


def test_a_first_event_has_no_previous_status() -> None:
    """It says null, and lifts nothing."""
    document = orjson.loads(event_json(event(seq=1, status="queued", previous_status=None, data={})))
    assert document["previousStatus"] is None
    assert "txHash" not in document
    assert "executionPrice" not in document


def test_the_price_of_a_confirmed_swap_is_lifted_for_clients_of_earlier_engines() -> None:
    """They read it at the top level."""
    document = orjson.loads(event_json(event(data={"txHash": "5h6x", "executionPrice": "148.6"})))
    assert document["executionPrice"] == document["data"]["executionPrice"] == "148.6"


@pytest.mark.parametrize("hours", [-11, 0, 5.5])
def test_a_timestamp_is_in_utc_wherever_it_comes_from(hours: float) -> None:
    """PostgreSQL may answer in any zone."""
    assert timestamp(AT.astimezone(timezone(timedelta(hours=hours)))) == "2026-02-03T04:05:06.789Z"


@pytest.mark.parametrize("status", Status)
def test_an_order_knows_whether_anything_can_still_happen_to_it(status: Status) -> None:
    """The state is read from the database as text."""
    order = stored_order(status=status.value)
    assert order.status is status
    assert order.terminal is (status in {"confirmed", "failed", "cancelled"})


def test_an_order_knows_its_tokens() -> None:
    """The row keeps tickers."""
    order = stored_order(token_in="mSOL", token_out="BONK")
    assert (order.input_token.decimals, order.output_token.decimals) == (9, 5)
