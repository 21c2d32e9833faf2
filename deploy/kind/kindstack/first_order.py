"""The proof that it works: an order through the ingress to `confirmed`, and its trace in Jaeger."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import aiohttp

from devstack.demo_orders import Client, FollowedOrder
from devstack.faults import OrderRefused
from kindstack.faults import TraceIncomplete

SERVICES = frozenset({"engine-api", "engine-worker", "mockdex"})
_PUBLISHED_WITHIN_S = 30.0
_FINISHED_WITHIN_S = 60.0
_TRACED_WITHIN_S = 30.0
_EVERY_S = 0.5
_OK = 200


async def place(url: str) -> FollowedOrder:
    """Place an order and follow it to its last state.

    Raises OrderRefused when it is not taken, or does not come to `confirmed`.
    """
    order = FollowedOrder("first-order", "SOL", "USDC", "1.5")
    async with aiohttp.ClientSession() as session:
        await _wait_for_api(session, url)
        client = Client(session, url)
        await client.place(order)
        try:
            async with asyncio.timeout(_FINISHED_WITHIN_S):
                await client.follow(order, lambda _: None)
        except TimeoutError:
            raise OrderRefused(
                f"Order {order.order_id} is still {order.status} after {_FINISHED_WITHIN_S:.0f} s: see the workers."
            ) from None
    if order.status != "confirmed":
        raise OrderRefused(f"Order {order.order_id} ended as {order.status} ({order.error or 'no reason given'}).")
    return order


async def trace(url: str, order_id: str) -> tuple[str, int]:
    """Return the id of an order's trace and how many spans it has, once all services are in it.

    Raises TraceIncomplete.
    """
    async with aiohttp.ClientSession() as session:
        trace_id = str((await Client(session, url).read(order_id))["traceId"])
        answer: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(_TRACED_WITHIN_S):
                while not is_complete(answer, order_id):
                    await asyncio.sleep(_EVERY_S)
                    answer = await _read_trace(session, url, trace_id)
        except TimeoutError:
            lacking = ", ".join(sorted(SERVICES - services(answer))) or f"the id of the order {order_id}"
            raise TraceIncomplete(
                f"The trace {trace_id} in Jaeger ({url}/jaeger/) lacks {lacking} after {_TRACED_WITHIN_S:.0f} s: see "
                "the log of Jaeger's pod, and `otel` and `jaeger` in the values."
            ) from None
    return trace_id, len(answer["data"][0]["spans"])


def services(answer: Mapping[str, Any]) -> frozenset[str]:
    """Return the services that have a span in the first trace of Jaeger's answer."""
    for found in answer.get("data") or ():
        processes = found["processes"]
        return frozenset(processes[span["processID"]]["serviceName"] for span in found["spans"])
    return frozenset()


def is_complete(answer: Mapping[str, Any], order_id: str) -> bool:
    """Tell whether the trace has spans of every service, and one that names the order."""
    if not services(answer) >= SERVICES:
        return False
    return any(tag["value"] == order_id for span in answer["data"][0]["spans"] for tag in span["tags"])


async def _read_trace(session: aiohttp.ClientSession, url: str, trace_id: str) -> Mapping[str, Any]:
    # A wrong path answers 200 with a page, and a trace that is not there yet answers 404: only JSON with data counts.
    try:
        async with session.get(f"{url}/jaeger/api/traces/{trace_id}") as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, ValueError):
        return {}
    return cast("Mapping[str, Any]", answer) if isinstance(answer, dict) else {}


async def _wait_for_api(session: aiohttp.ClientSession, url: str) -> None:
    last = "nothing"
    try:
        async with asyncio.timeout(_PUBLISHED_WITHIN_S):
            while True:
                try:
                    async with session.get(f"{url}/openapi.json") as response:
                        if response.status == _OK:
                            return
                        last = f"status {response.status}"
                except aiohttp.ClientError as error:
                    last = str(error)
                await asyncio.sleep(_EVERY_S)
    except TimeoutError:
        raise OrderRefused(
            f"{url} did not come to answer as the api ({last}): see `kubectl get ingress -A` and Traefik's log."
        ) from None
