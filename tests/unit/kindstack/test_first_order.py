from typing import Any

import pytest

from kindstack.first_order import is_complete, services

ORDER = "01a1fe27-9499-7427-9e6f-09f25cd9d0fa"


def answer(*names: str, order_id: str = ORDER) -> dict[str, Any]:
    spans = [{"processID": f"p{n}", "tags": [{"key": "order.id", "value": order_id}]} for n in range(len(names))]
    return {"data": [{"spans": spans, "processes": {f"p{n}": {"serviceName": name} for n, name in enumerate(names)}}]}


def test_a_trace_across_all_services_that_names_the_order_is_complete() -> None:
    """As Jaeger's API gives it."""
    assert is_complete(answer("engine-api", "engine-worker", "mockdex"), ORDER)


@pytest.mark.parametrize(
    "partial",
    [
        {},
        {"data": None},
        {"data": []},
        answer("engine-api", "engine-worker"),
        answer("engine-api", "engine-worker", "mockdex", order_id="another"),
    ],
)
def test_anything_less_is_not(partial: dict[str, Any]) -> None:
    """Spans arrive service by service."""
    assert not is_complete(partial, ORDER)


def test_a_process_without_a_span_is_no_service_of_the_trace() -> None:
    """Only spans count."""
    trace = answer("engine-api")
    trace["data"][0]["processes"]["p9"] = {"serviceName": "mockdex"}
    assert services(trace) == {"engine-api"}
