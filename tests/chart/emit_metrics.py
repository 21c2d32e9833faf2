"""Prints what Prometheus would read of a service as it starts, or when each instrument was used as the service does."""

import asyncio
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from engine_common import telemetry
from engine_common.settings import Settings
from engine_common.telemetry import metrics, tracing


def api(*, used: bool) -> None:
    from engine_api import measurements, problems

    telemetry.start("engine-api", Settings.load())
    measurements.begin_at_zero()
    if not used:
        return
    measurements.count_accepted("queued")
    for kind in problems.KINDS:
        measurements.count_refused(kind.code)
    measurements.record_batch("insert", 5)
    measurements.count_socket(1)
    measurements.observe_backlog(lambda: 7, 200_000)
    asyncio.run(_answer_requests())


async def _answer_requests() -> None:
    async def place(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", int(request.query_params["status"]))

    app = Starlette(routes=[Route("/api/orders/execute", place, methods=["POST"])])
    tracing.instrument_asgi(app)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        pass

    for status in (202, 503):
        await app(
            {
                "type": "http",
                "method": "POST",
                "path": "/api/orders/execute",
                "raw_path": b"/api/orders/execute",
                "query_string": f"status={status}".encode(),
                "headers": [(b"host", b"api")],
                "scheme": "http",
                "server": ("api", 3000),
                "http_version": "1.1",
            },
            receive,
            send,
        )


def worker(*, used: bool) -> None:
    from engine_common.orders import EventType
    from engine_common.store.door import Move, Moved
    from engine_common.transitions import Status
    from engine_worker import measurements

    telemetry.start("engine-worker", Settings.load())
    measurements.begin_at_zero()
    if not used:
        return

    def record(source: Status, target: Status, **details: Any) -> None:
        move = Move(uuid.uuid4(), 1, source, 1, target, 1, **details)
        measurements.record_move(move, Moved(2, datetime.now(UTC), target), 0.2)

    record(Status.QUEUED, Status.ROUTING)
    record(Status.BUILDING, Status.ROUTING, outcome="slippage_exceeded")
    record(Status.SUBMITTED, Status.SUBMITTED, note=EventType.LANDED)
    record(Status.SUBMITTED, Status.CONFIRMED)
    record(Status.SUBMITTED, Status.FAILED, error_code="swap_rejected")
    measurements.record_wait(Status.SUBMITTED)
    measurements.record_recovered(deserted=True)
    measurements.record_swept(2)
    measurements.record_batch("moves", 4)
    measurements.record_quote("meteora", 0.2, None)
    measurements.record_circuit("meteora", 1)
    measurements.observe_in_flight(lambda: 5)
    measurements.observe_ready(lambda: True)


if __name__ == "__main__":
    # Requests are measured where spans are recorded; nobody is asked to take them.
    os.environ.update(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_METRICS_EXPORTER="none")
    {"api": api, "worker": worker}[sys.argv[1]](used=sys.argv[2] == "used")
    sys.stdout.write(metrics.exposition()[0].decode())
    sys.stdout.flush()
    os._exit(0)  # with nobody to send spans to
