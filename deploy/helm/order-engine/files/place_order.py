"""Places an order as a client would, follows it to `confirmed`, and finds its trace across the services: `helm test`."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

API_URL = os.environ["API_URL"]
JAEGER_URL = os.environ.get("JAEGER_URL", "")
SERVICES = set(os.environ["TRACED_SERVICES"].split(","))
API_KEY_FILE = os.environ.get("API_KEY_FILE")
API_KEY = Path(API_KEY_FILE).read_text().removesuffix("\n") if API_KEY_FILE else os.environ.get("API_KEY")
AUTHORIZATION = {"authorization": f"Bearer {API_KEY}"} if API_KEY else {}
ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.1"}
FINAL = ("confirmed", "failed", "cancelled")

# Close codes from here on are answers, as HTTP's statuses from 400 on.
REFUSED = 4000

# Seconds.
ORDER_WITHIN = 90
TRACE_WITHIN = 60


class TestFailed(Exception):
    """What was to be shown is not so."""


def request(url: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
    """Return the answer's JSON; a page of HTML, which a wrong path gets from Jaeger, is no answer."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        hint = " (set test.apiKey.existingSecret to a Secret with an API key)" if error.code == 401 else ""
        raise TestFailed(f"{url} answered {error.code}{hint}: {text}") from None
    except json.JSONDecodeError:
        raise TestFailed(f"{url} answered, but not with JSON: is the path right?") from None


def events(order_id: str, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield the order's events; a socket that ends before the order does is opened again after the last one."""
    seen = 0
    socket_url = API_URL.replace("http", "ws", 1)
    while time.monotonic() < deadline:
        url = f"{socket_url}/ws/orders/{order_id}?after={seen}"
        try:
            with connect(url, additional_headers=AUTHORIZATION, proxy=None, open_timeout=10) as socket:
                while True:
                    event = json.loads(socket.recv(timeout=max(0.1, deadline - time.monotonic())))
                    if event.get("type") == "error":
                        raise TestFailed(f"the WebSocket was refused: {event}")
                    if "seq" in event:
                        seen = event["seq"]
                        yield event
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code >= REFUSED:
                raise TestFailed(f"the WebSocket was closed with {error.rcvd.code}: {error.rcvd.reason}") from None
            print(f"the socket ended ({error}); opening it again", flush=True)
            time.sleep(0.5)
        except (InvalidStatus, OSError) as error:
            print(f"the socket ended ({error}); opening it again", flush=True)
            time.sleep(0.5)
    raise TestFailed(f"order {order_id} was not finished within {ORDER_WITHIN} s")


def follow(order_id: str) -> None:
    """Print the order's states until `confirmed`."""
    for event in events(order_id, time.monotonic() + ORDER_WITHIN):
        status = event.get("status")
        print(f"  {event['seq']:>3} {status}", flush=True)
        if status == "confirmed":
            return
        if status in FINAL:
            raise TestFailed(f"order {order_id} is {status}: {event}")


def find_trace(order_id: str, trace_id: str) -> None:
    """Wait until Jaeger has spans of every service under the order's trace, one of them with the order's id."""
    deadline = time.monotonic() + TRACE_WITHIN
    found: set[str] = set()
    named = False
    while time.monotonic() < deadline:
        try:
            traces = request(f"{JAEGER_URL}/api/traces/{trace_id}")["data"]
        except TestFailed as not_yet:  # 404 until the first span arrived
            traces, reason = [], str(not_yet)
        else:
            reason = ""
        for trace in traces:
            spans = trace["spans"]
            found = {trace["processes"][span["processID"]]["serviceName"] for span in spans}
            named = any(tag["value"] == order_id for span in spans for tag in span["tags"])
            if named and found >= SERVICES:
                print(f"trace {trace_id}: {len(spans)} spans of {', '.join(sorted(found))}", flush=True)
                return
        time.sleep(1)
    lacks = ", ".join(sorted(SERVICES - found)) or ("nothing" if named else "a span with the order's id")
    raise TestFailed(f"trace {trace_id} in Jaeger lacks {lacks} after {TRACE_WITHIN} s {reason}".rstrip())


def main() -> None:
    """Show it, or say what is not so."""
    order = request(f"{API_URL}/api/orders/execute", ORDER, AUTHORIZATION)
    order_id = order["orderId"]
    print(f"placed order {order_id}", flush=True)
    follow(order_id)
    snapshot = request(f"{API_URL}/api/orders/{order_id}", headers=AUTHORIZATION)
    if snapshot["status"] != "confirmed" or not snapshot["txHash"]:
        raise TestFailed(f"the WebSocket said confirmed, the order says otherwise: {snapshot}")
    print(f"confirmed by {snapshot['venue']}, transaction {snapshot['txHash']}", flush=True)
    if JAEGER_URL:
        find_trace(order_id, snapshot["traceId"])
    else:
        print("jaeger.enabled is false: no trace was looked for", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (TestFailed, OSError) as error:
        sys.exit(f"helm test: {error}")
