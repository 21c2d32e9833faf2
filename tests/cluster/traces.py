"""Traces from Jaeger's HTTP API, under its base path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Span:
    """A span and who recorded it."""

    trace_id: str
    service: str
    name: str
    attributes: Mapping[str, Any]


async def spans_of(jaeger_url: str, trace_id: str) -> list[Span]:
    """Return the spans of a trace that Jaeger has; none while it has none.

    Raises ValueError when the answer is not Jaeger's JSON: a wrong path is answered 200 with a page.
    """
    async with (
        aiohttp.ClientSession(timeout=_ANSWER_WITHIN) as session,
        session.get(f"{jaeger_url}/api/traces/{trace_id}") as response,
    ):
        if response.content_type != "application/json":
            raise ValueError(f"{response.url} is no API of Jaeger: {response.status} {response.content_type}")
        document = await response.json()
    return [span for trace in document.get("data") or () for span in _spans(trace)]


def _spans(trace: Mapping[str, Any]) -> list[Span]:
    services = {key: process["serviceName"] for key, process in trace["processes"].items()}
    return [
        Span(
            trace_id=span["traceID"],
            service=services[span["processID"]],
            name=span["operationName"],
            attributes={tag["key"]: tag["value"] for tag in span["tags"]},
        )
        for span in trace["spans"]
    ]
