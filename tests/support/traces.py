"""Spans of a running system, received by the test itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from devstack.otlp_sink import OtlpSink, Span
from support.running_stack import eventually


@contextmanager
def otlp_receiver() -> Iterator[OtlpSink]:
    """Receive spans in a thread of the test's process."""
    sink = OtlpSink()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with sink.serving():
            ready.set_result(None)
            await stop.wait()

    ready = loop.create_future()
    serving = loop.create_task(serve())
    loop.run_until_complete(ready)
    thread = Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def trace_of(sink: OtlpSink, order: dict[str, Any]) -> list[Span]:
    """Return the spans of the order's trace, once it is whole: each process sends its own in its own time.

    Every parent has arrived, the order's own span, and for each request that the worker made the span of its answer.
    """

    def whole() -> list[Span] | None:
        spans = sink.trace(order["traceId"])
        ids = {span.span_id for span in spans}
        answered = {span.parent_id for span in spans if span.service == "mockdex"}
        requests = {span.span_id for span in spans if span.name in ("GET", "POST")}
        complete = all(span.parent_id in ids for span in spans if span.parent_id) and requests <= answered
        return spans if complete and any(span.name == "execute order" for span in spans) else None

    return eventually(whole, within_s=20)
