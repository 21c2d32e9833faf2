import orjson
import pytest

from integration.mockdex.exchanges import TOKEN
from mockdex.app import build_app, open_desks

BEARER = {"authorization": f"Bearer {TOKEN}"}


async def test_settings_are_shown_by_their_short_names(exchange):
    status, settings, _ = await exchange.ask.http("GET", "/admin/settings", **BEARER)
    assert status == 200
    assert settings["execution_delay_ms"] == 2500
    assert settings["failure_rate"] == 0.0
    assert settings["force_fail"] is False
    assert settings["drop_rate_meteora"] is None


async def test_what_is_shown_can_be_sent_back(exchange):
    _, settings, _ = await exchange.ask.http("GET", "/admin/settings", **BEARER)
    assert await exchange.ask.tune(**settings) == (200, settings)


async def test_settings_change_at_once_and_for_good(exchange):
    status, settings = await exchange.ask.tune(quote_delay_ms=0, failure_rate=0.5, quote_error_rate_raydium=1)
    assert status == 200
    assert (settings["failure_rate"], settings["quote_error_rate_raydium"]) == (0.5, 1)
    assert (await exchange.ask.quote("raydium"))[0] == 500
    assert (await exchange.ask.quote("meteora"))[0] == 200
    await exchange.ask.tune(quote_error_rate_raydium=None)
    assert (await exchange.ask.quote("raydium"))[0] == 200


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"failure_rate": 0.9, "nonsense": 1}, "nonsense"),
        ({"failure_rate": 0.9, "drop_rate": 2}, "drop_rate"),
        ({"failure_rate": 0.9, "quote_delay_ms": "soon"}, "quote_delay_ms"),
        ({"failure_rate": 0.9, "block_ms": 1}, "block_ms"),
    ],
)
async def test_one_bad_setting_is_named_and_nothing_is_applied(exchange, changes, named):
    before = exchange.exchange.tuning.values()
    status, problem, headers = await exchange.ask.http("PATCH", "/admin/settings", orjson.dumps(changes), **BEARER)
    assert status == problem["status"] == 422
    assert headers["content-type"] == "application/problem+json"
    assert named in problem["detail"]
    assert exchange.exchange.tuning.values() == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b'{"drop_rate": NaN}'])
async def test_what_is_no_object_is_refused(exchange, body):
    status, problem, _ = await exchange.ask.http("PATCH", "/admin/settings", body, **BEARER)
    assert (status, problem["code"]) == (422, "invalid_settings")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}])
async def test_without_the_token_nothing_is_shown_or_changed(exchange, headers):
    for method in ("GET", "PATCH"):
        status, problem, answered = await exchange.ask.http(method, "/admin/settings", b'{"drop_rate": 1}', **headers)
        assert (status, problem["code"], answered["www-authenticate"]) == (401, "unauthorized", "Bearer")
    assert exchange.exchange.tuning.values()["drop_rate"] == 0


async def test_without_a_token_configured_there_is_no_admin(exchange):
    exchange.ask._app = build_app(exchange.exchange, open_desks(exchange.exchange), None)
    assert (await exchange.ask.http("GET", "/admin/settings", authorization="Bearer "))[0] == 404


async def test_settings_are_got_and_patched_only(exchange):
    assert (await exchange.ask.http("DELETE", "/admin/settings", **BEARER))[0] == 405


async def test_probes_answer(exchange):
    assert await exchange.ask.get("/livez") == (200, {"status": "up"})
    assert await exchange.ask.get("/readyz") == (200, {"status": "up", "storage": "up"})
