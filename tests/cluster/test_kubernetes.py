"""What kubectl and Jaeger show is read for what it says."""

import json

import pytest

from cluster.kubernetes import Pod
from cluster.traces import spans_of
from support.web import answering_server

POD = {
    "metadata": {"name": "worker-1", "uid": "u"},
    "spec": {"nodeName": "node-1"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "worker", "restartCount": 2, "containerID": "containerd://abc"}],
    },
}


def test_a_pod_is_what_its_status_says() -> None:
    """Containers are known by the ids that their node gives them."""
    assert Pod.of(POD) == Pod("worker-1", "u", "node-1", True, False, 2, {"worker": "abc"})


def test_a_pod_that_is_being_stopped_may_still_be_ready() -> None:
    """One that is not scheduled yet has neither node nor containers."""
    assert Pod.of(POD | {"metadata": POD["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}).stopping
    pending = Pod.of({"metadata": POD["metadata"], "spec": {}, "status": {}})
    assert (pending.ready, pending.node, pending.containers) == (False, "", {})


TRACE = {
    "data": [
        {
            "processes": {"p1": {"serviceName": "api"}},
            "spans": [
                {
                    "traceID": "t",
                    "processID": "p1",
                    "operationName": "POST",
                    "tags": [{"key": "order.id", "value": "a"}],
                }
            ],
        }
    ]
}


async def test_spans_are_told_with_their_service_and_attributes() -> None:
    """As Jaeger's API names them."""
    async with answering_server() as server:
        server.headers["content-type"] = "application/json"
        server.body = json.dumps(TRACE).encode()
        [span] = await spans_of(server.url, "t")
    assert (span.trace_id, span.service, span.name, span.attributes) == ("t", "api", "POST", {"order.id": "a"})
    assert server.requests[0][0] == "/api/traces/t"


async def test_a_page_where_json_should_be_is_not_taken_for_an_empty_trace() -> None:
    """Jaeger answers a wrong path with 200 and its user interface."""
    async with answering_server() as server:
        server.headers["content-type"] = "text/html"
        server.body = b"<!doctype html>"
        with pytest.raises(ValueError, match="no API of Jaeger"):
            await spans_of(server.url, "t")
