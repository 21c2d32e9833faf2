"""The contract that the api serves, and whether the api keeps it."""

from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest

from engine_common.transitions import Status
from integration.api.running_api import BODY, Answer, RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble
from support.waiting import eventually


@pytest.fixture
async def contract(api: RunningApi) -> dict[str, Any]:
    """Read the contract that is served."""
    answer = await api.get("/openapi.json")
    assert answer.status == 200
    return answer.json


def keeps(contract: dict[str, Any], method: str, path: str, answer: Answer) -> bool:
    """Tell whether the answer is one that the contract knows at this place."""
    media_type = answer.headers["content-type"].partition(";")[0]
    documented = contract["paths"][path][method]["responses"][str(answer.status)]
    schema = documented["content"][media_type]["schema"] | {"components": contract["components"]}
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json)
    return True


async def test_the_document_is_openapi(contract: dict[str, Any]) -> None:
    """Every reference leads somewhere, and every operation has a name of its own."""
    assert contract["openapi"] == "3.1.0"
    operations = [operation for path in contract["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 13
    assert set(contract["x-websockets"]) == {"/ws/orders/{id}", "/api/orders/execute", "/ws"}
    for schema in contract["components"]["schemas"].values():
        jsonschema_rs.validator_for(schema | {"components": contract["components"]})


async def test_answers_have_the_documented_shape(
    api: RunningApi, worker: WorkerDouble, wallet: str, contract: dict[str, Any]
) -> None:
    """In every state of an order, with everything that a worker adds."""
    confirmed, failed = [await api.place(userWallet=wallet) for _ in range(2)]
    await worker.move(confirmed, *TO_CONFIRMED)
    await worker.move(failed, Status.ROUTING, Status.FAILED)
    for order_id in (confirmed, failed):
        assert keeps(contract, "get", "/api/orders/{id}", await api.get(f"/api/orders/{order_id}"))
        assert keeps(contract, "get", "/api/orders/{id}/events", await api.get(f"/api/orders/{order_id}/events"))
    assert keeps(contract, "get", "/api/orders", await api.get(f"/api/orders?wallet={wallet}&limit=1"))
    assert keeps(contract, "get", "/api/orders/user/{wallet}", await api.get(f"/api/orders/user/{wallet}"))
    created = await api.post("/api/orders", BODY)
    assert keeps(contract, "post", "/api/orders", created)
    executed = await api.post(f"/api/orders/{created.json['orderId']}/execute")
    assert keeps(contract, "post", "/api/orders/{id}/execute", executed)
    cancelled = await api.post(f"/api/orders/{created.json['orderId']}/cancel")
    assert keeps(contract, "post", "/api/orders/{id}/cancel", cancelled)
    for path in ("/livez", "/readyz", "/health", "/openapi.json"):
        assert keeps(contract, "get", path, await api.get(path))


async def test_refusals_have_the_documented_shape(
    api: RunningApi, worker: WorkerDouble, contract: dict[str, Any]
) -> None:
    """Each under its status, with a code that is listed there."""
    done = await api.place()
    await worker.move(done, Status.ROUTING, Status.FAILED)
    for refused in (
        await api.post("/api/orders", b"{"),
        await api.post("/api/orders", {"amountIn": 0}),
        await api.post("/api/orders", BODY | {"type": "LIMIT"}),
        await api.post("/api/orders", BODY, headers={"content-type": "text/plain"}),
        await api.post("/api/orders", b" " * 70_000),
        await api.post("/api/orders", BODY, key="k" * 256),
    ):
        assert keeps(contract, "post", "/api/orders", refused)
    assert keeps(contract, "get", "/api/orders", await api.get("/api/orders?limit=x"))
    assert keeps(contract, "get", "/api/orders", await api.ask("PUT", "/api/orders"))
    assert keeps(contract, "get", "/api/orders/{id}", await api.get(f"/api/orders/{uuid4()}"))
    for verb in ("execute", "cancel"):
        refused = await api.post(f"/api/orders/{done}/{verb}")
        assert keeps(contract, "post", f"/api/orders/{{id}}/{verb}", refused)


async def test_probes_say_how_things_are(api: RunningApi) -> None:
    """Alive asks nobody; ready and health name the dependencies."""
    assert (await api.get("/livez")).json == {"status": "up"}

    async def ready() -> bool:  # on a busy machine an answer may take longer than a probe waits for it
        return (await api.get("/readyz")).json == {"status": "up", "postgres": "up", "redis": "up"}

    await eventually(ready)
    health = (await api.get("/health")).json
    assert health == {"status": "up", "version": health["version"], "postgres": "up", "redis": "up"}
