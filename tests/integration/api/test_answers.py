"""What every answer carries, whatever it says: an id, and what browsers are to make of it."""

from typing import Any
from uuid import UUID

import pytest
import structlog

from integration.api.running_api import BODY, UNKNOWN, RunningApi, running_api

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/openapi.json"),
        ("GET", "/api/orders"),
        ("GET", "/nothing"),
        ("PUT", "/orders"),
        ("POST", "/orders"),
        ("HEAD", "/livez"),
        ("GET", f"/api/orders/{UNKNOWN}"),
    ],
)
async def test_every_answer_has_the_security_headers(api: RunningApi, method: str, path: str) -> None:
    """Successes and refusals alike; nothing about TLS, which development does without."""
    answer = await api.ask(method, path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "strict-transport-security" not in answer.headers


async def test_production_speaks_tls_only(shared_database_url: str, redis_url: str, tmp_path: Any) -> None:
    """Browsers are told to come back by no other way."""
    keys = tmp_path / "keys"
    keys.write_text("")
    async with running_api(shared_database_url, redis_url, env="production", api_keys_file=keys) as api:
        for path in ("/livez", "/api/orders"):
            assert (await api.get(path)).headers["strict-transport-security"].startswith("max-age=31536000")


@pytest.mark.parametrize("given", ["a", "req-7.b_c~d:e/f+g=@", "x" * 128, UNKNOWN])
async def test_a_request_keeps_the_id_it_came_with(api: RunningApi, given: str) -> None:
    """In the answer, and in a problem document."""
    answer = await api.get(f"/api/orders/{UNKNOWN}", headers={"x-request-id": given})
    assert answer.problem(404, "not_found")["requestId"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a;b", "<a>", "käse"])
async def test_an_id_that_could_do_harm_is_replaced(api: RunningApi, given: str) -> None:
    """By one of ours, ordered by time."""
    answer = await api.get("/livez", headers={"x-request-id": given})
    assert UUID(answer.headers["x-request-id"]).version == 7


async def test_each_request_of_a_connection_has_its_own_id(api: RunningApi) -> None:
    """Also where one connection carries them all."""
    ids = [(await api.get("/livez")).headers["x-request-id"] for _ in range(5)]
    assert len(set(ids)) == 5


async def test_a_handshake_is_answered_with_an_id_too(api: RunningApi) -> None:
    """And the problem on the socket repeats it."""
    async with api.listening("/api/orders/execute", additional_headers={"x-request-id": "mine"}) as ear:
        assert ear.connection.response is not None
        assert ear.connection.response.headers["x-request-id"] == "mine"
        await ear.connection.send("{")
        (document,) = await ear.hear(1)
    assert document["requestId"] == "mine"


async def test_log_lines_name_the_request_and_the_account(
    database_url: str, redis_url: str, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of this request: the next one on the connection, which has no key, is nobody's."""
    seen: list[dict[str, Any]] = []
    async with running_api(database_url, redis_url, api_keys="desk:key") as api:
        order_id = await api.holding("key").place()
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE order_events RENAME TO lost_events")

        class Noting:
            def filter(self, _record: Any) -> bool:
                seen.append(dict(structlog.contextvars.get_contextvars()))
                return True

        noting = Noting()
        caplog.handler.addFilter(noting)
        await api.holding("key").get(f"/api/orders/{order_id}/events", headers={"x-request-id": "seven"})
        caplog.handler.removeFilter(noting)
    assert seen == [{"request_id": "seven", "account": "desk", "order_id": str(order_id)}]


async def test_a_browser_asks_before_it_sends_a_key(shared_database_url: str, redis_url: str) -> None:
    """The question needs none; the answer, a refusal too, lets the page read what it has to know."""
    settings: Any = {"allowed_origins": ("https://desk.example",), "api_keys": "desk:key"}
    async with running_api(shared_database_url, redis_url, **settings) as api:
        question = {
            "origin": "https://desk.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, x-api-key, idempotency-key, x-request-id",
        }
        allowed = await api.ask("OPTIONS", "/api/orders", headers=question)
        assert allowed.status == 200
        permitted = {name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")}
        assert {"authorization", "x-api-key", "idempotency-key", "x-request-id", "content-type"} <= permitted
        for client in (api, api.holding("key")):
            answer = await client.post("/api/orders", BODY, headers={"origin": "https://desk.example"})
            exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
            assert {"ratelimit", "ratelimit-policy", "retry-after", "x-request-id", "www-authenticate"} <= exposed
        refused = await api.ask("OPTIONS", "/api/orders", headers=question | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
