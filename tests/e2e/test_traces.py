"""One trace an order, across the three services: asserted on spans that really arrived at an OTLP receiver."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import websockets
from requests.adapters import HTTPAdapter

from devstack.otlp_sink import OtlpSink, Span
from support.running_stack import RunningStack, eventually, running_stack
from support.traces import otlp_receiver, trace_of


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, OtlpSink]]:
    """Run the system with traces and metrics going to a receiver of the test."""
    with (
        otlp_receiver() as sink,
        running_stack(
            tmp_path_factory.mktemp("stack"),
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
            OTEL_METRIC_EXPORT_INTERVAL="500",
            ENGINE_MAX_ATTEMPTS="2",
        ) as stack,
    ):
        yield stack, sink


def counted(spans: list[Span], service: str) -> Counter[str]:
    return Counter(span.name for span in spans if span.service == service)


def test_a_confirmed_order_is_one_trace_through_api_worker_and_mock_dex(traced: tuple[RunningStack, OtlpSink]) -> None:
    """One span a step: nothing is missing, and neither polls nor frames nor probes drown it."""
    stack, sink = traced
    warm_up = stack.finished(stack.place()["orderId"])
    assert warm_up["status"] == "confirmed"

    order = stack.finished(stack.place()["orderId"])
    spans = trace_of(sink, order)

    assert order["status"] == "confirmed"
    assert counted(spans, "engine-api") == {"POST /api/orders/execute": 1, "enqueue orders": 1}
    worker = counted(spans, "engine-worker")
    # A blockhash is shared by the orders of a second, so `building` asks for one or finds it.
    assert worker.pop("POST") in (2, 3)
    assert worker == {
        "execute order": 1,
        "queued": 1,
        "routing": 1,
        "GET": 2,
        "building": 1,
        "submitted": 1,
    }
    dex = counted(spans, "mockdex")
    assert dex.pop("POST /rpc") in (2, 3)
    assert dex == {"GET /venues/raydium/quote": 1, "GET /venues/meteora/quote": 1}
    assert not any(span.failed for span in spans)


def test_a_failed_order_shows_every_attempt_in_its_one_trace(traced: tuple[RunningStack, OtlpSink]) -> None:
    """Two attempts that land with the simulated failure: each state twice, and the failures are marked."""
    stack, sink = traced
    stack.set_dex(failure_rate=1)
    try:
        order = stack.finished(stack.place()["orderId"])
    finally:
        stack.set_dex(failure_rate=0)
    spans = trace_of(sink, order)

    assert (order["status"], order["errorCode"], order["attempt"]) == ("failed", "swap_failed", 2)
    worker = counted(spans, "engine-worker")
    assert worker.pop("POST") in range(2, 5)
    assert worker == {
        "execute order": 1,
        "queued": 1,
        "routing": 2,
        "GET": 4,
        "building": 2,
        "submitted": 2,
        "retry backoff": 1,
    }
    assert Counter(span.name for span in spans if span.failed) == {"submitted": 2, "execute order": 1}


def test_metrics_of_every_service_arrive_at_the_receiver(traced: tuple[RunningStack, OtlpSink]) -> None:
    """What operators watch: accepted, state durations, retries, in flight, queue wait, batch sizes, venue latencies."""
    stack, sink = traced
    stack.finished(stack.place()["orderId"])
    expected = {
        "engine.orders.accepted",
        "engine.order.state.duration",
        "engine.orders.in_flight",
        "engine.order.queue.wait",
        "engine.batch.size",
        "engine.venue.quote.duration",
        "engine.orders.finished",
        "engine.orders.unfinished",
        "engine.orders.unfinished.bound",
        "engine.worker.ready",
    }
    eventually(lambda: expected <= sink.metrics, within_s=20)


_CLIENT = "127.0.0.3"
_AGENT, _QUERY = "planted-agent", "planted-query"


def _use_the_api_from_the_clients_address(stack: RunningStack) -> None:
    """Succeed and fail, by REST and by WebSocket, from an address that nothing else has here."""

    class FromClient(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, source_address=(_CLIENT, 0))

    async def socket(path: str) -> None:
        url = stack.api_url.replace("http://", "ws://") + path
        options: dict[str, Any] = {"local_addr": (_CLIENT, 0), "user_agent_header": _AGENT}
        async with websockets.connect(url, **options) as connection:
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await asyncio.wait_for(connection.recv(), 20)

    order = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
    with requests.Session() as session:
        session.mount("http://", FromClient())
        session.headers["user-agent"] = _AGENT
        answer = session.post(f"{stack.api_url}/api/orders/execute", json=order, timeout=30)
        assert answer.status_code == 202
        order_id = answer.json()["orderId"]
        assert session.get(f"{stack.api_url}/api/orders?wallet={_QUERY}", timeout=30).status_code == 200
        for path in ("/api/orders", "/api/orders/none", "/none"):
            assert session.get(f"{stack.api_url}{path}?x={_QUERY}", timeout=30).status_code in (404, 422)
        assert session.post(f"{stack.api_url}/api/orders?x={_QUERY}", json={}, timeout=30).status_code == 422
    asyncio.run(socket(f"/ws/orders/{order_id}"))
    asyncio.run(socket(f"/ws/orders/none?x={_QUERY}"))


def test_no_span_of_any_service_holds_a_clients_address_agent_or_query(traced: tuple[RunningStack, OtlpSink]) -> None:
    """SECURITY.md says so; over every attribute of every span, of answers that succeed and that fail."""
    stack, sink = traced
    before = len(sink.spans)
    _use_the_api_from_the_clients_address(stack)
    asked = {"POST /api/orders/execute", "GET /api/orders", "GET", "POST /api/orders", "/ws/orders/{id:segment}"}
    eventually(lambda: asked <= {span.name for span in sink.spans[before:] if span.service == "engine-api"})

    held = {(span.name, key, str(value)) for span in sink.spans for key, value in span.attributes.items()}
    assert {each for each in held if any(planted in each[2] for planted in (_CLIENT, _AGENT, _QUERY))} == set()
    named = {key for _, key, _ in held}
    assert not named & {"client.address", "network.peer.address", "net.peer.ip", "user_agent.original", "url.query"}
