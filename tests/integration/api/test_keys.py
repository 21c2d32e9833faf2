"""API keys: where they may be given, who gets in without one, and what happens when they change."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets

from integration.api.running_api import BODY, UNKNOWN, RunningApi, running_api
from support.waiting import eventually

KEY, OTHER = "Zm9vYmFy-key.1", "another-key"


def line(account: str, key: str) -> str:
    return f"{account}:{hashlib.sha256(key.encode()).hexdigest()}\n"


@pytest.fixture
async def guarded(shared_database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    """Serve an api that wants keys."""
    async with running_api(shared_database_url, redis_url, api_keys=f"desk:{KEY},desk:{OTHER}") as api:
        yield api


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer   {KEY} "},
        {"x-api-key": KEY},
        {"x-api-key": KEY, "authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY, "authorization": "Basic bmFtZTpwYXNzd29yZA=="},
    ],
)
async def test_a_key_is_given_in_a_header(guarded: RunningApi, headers: dict[str, str]) -> None:
    """As bearer token or under a name of its own; the same in both is no contradiction."""
    assert (await guarded.get("/api/orders", headers=headers)).status == 200
    async with guarded.listening(f"/ws/orders/{UNKNOWN}", additional_headers=headers) as ear:
        assert await ear.closed() == 4004


async def test_a_page_gives_its_key_as_a_subprotocol(guarded: RunningApi) -> None:
    """It can set no header; the answer names the subprotocol, as browsers insist."""
    offered: Any = ["bearer", KEY]
    async with guarded.listening(f"/ws/orders/{UNKNOWN}", subprotocols=offered) as ear:
        assert ear.connection.subprotocol == "bearer"
        assert await ear.closed() == 4004


async def test_where_no_key_is_needed_one_may_be_offered(api: RunningApi) -> None:
    """So that a page works in development as it will in production."""
    offered: Any = ["bearer", "any"]
    async with api.listening(f"/ws/orders/{UNKNOWN}", subprotocols=offered) as ear:
        assert ear.connection.subprotocol == "bearer"
        assert await ear.closed() == 4004
    assert (await api.get("/api/orders?limit=1", headers={"x-api-key": "any"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"x-api-key": hashlib.sha256(KEY.encode()).hexdigest()},
        {"x-api-key": KEY.upper()},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY}", "x-api-key": "wrong"},
        {"authorization": f"Bearer {KEY}", "x-api-key": OTHER},
        {"x-api-key": "käse".encode().decode("latin-1")},
    ],
)
async def test_without_a_valid_key_nothing_is_answered(guarded: RunningApi, headers: dict[str, str]) -> None:
    """Neither known nor unknown addresses, whatever the method; two different keys are none."""
    for method, path in (("GET", "/api/orders"), ("POST", "/api/orders"), ("GET", "/nothing"), ("OPTIONS", "/orders")):
        answer = await guarded.ask(method, path, headers=headers)
        answer.problem(401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in (f"/ws/orders/{UNKNOWN}", "/nothing"):
        async with guarded.listening(path, additional_headers=headers) as ear:
            assert await ear.closed() == 4401
            assert ear.reason


@pytest.mark.parametrize("query", [f"api_key={KEY}", f"x-api-key={KEY}", f"access_token={KEY}", f"token={KEY}"])
async def test_a_key_in_a_query_is_none(guarded: RunningApi, query: str) -> None:
    """It would end up in logs and histories."""
    (await guarded.get(f"/api/orders?{query}")).problem(401, "unauthorized")
    async with guarded.listening(f"/ws?wallet=w&{query}") as ear:
        assert await ear.closed() == 4401


async def test_a_wrong_subprotocol_opens_nothing(guarded: RunningApi) -> None:
    """The close can be read all the same."""
    for offered in (["bearer"], ["bearer", "wrong"], [KEY], [KEY, "bearer"], ["bearer", "wrong", KEY]):
        protocols: Any = offered
        async with guarded.listening(f"/ws/orders/{UNKNOWN}", subprotocols=protocols) as ear:
            assert await ear.closed() == 4401


async def test_probes_and_the_contract_need_no_key(guarded: RunningApi) -> None:
    """Kubelets and newcomers have none; other methods there get no further either."""
    for path in ("/livez", "/readyz", "/health", "/openapi.json"):
        assert (await guarded.get(path)).status == 200
        assert (await guarded.ask("POST", path)).status == 405


async def test_keys_come_and_go_with_the_file(shared_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Replaced as a mounted Secret is, by a link: sockets of the revoked key are closed, others go on."""
    first, second, link = tmp_path / "first", tmp_path / "second", tmp_path / "keys"
    first.write_text(line("desk", KEY) + line("desk", OTHER))
    second.write_text("# rotated\n" + line("desk", "new") + line("desk", OTHER))
    link.symlink_to(first)
    async with running_api(shared_database_url, redis_url, api_keys_file=link) as api:
        order_id = await api.holding(KEY).place()
        async with (
            api.holding(KEY).listening(f"/ws/orders/{order_id}") as revoked,
            api.holding(KEY).listening("/api/orders/execute") as silent,
            api.holding(OTHER).listening(f"/ws/orders/{order_id}") as kept,
        ):
            await revoked.hear(1)
            await kept.hear(1)
            (tmp_path / "next").symlink_to(second)
            (tmp_path / "next").rename(link)
            assert await revoked.closed() == 4401
            assert "revoked" in revoked.reason
            assert await silent.closed() == 4401
            await kept.silence()
        (await api.holding(KEY).get(f"/api/orders/{order_id}")).problem(401, "unauthorized")
        assert (await api.holding("new").get(f"/api/orders/{order_id}")).status == 200


async def test_a_file_that_cannot_be_read_changes_nothing(
    shared_database_url: str, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log a change, with the number of the line and nothing of what stands there."""
    file = tmp_path / "keys"
    file.write_text(line("desk", KEY))

    def complaints() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    async with running_api(shared_database_url, redis_url, api_keys_file=file) as api:
        file.write_text(line("desk", KEY) + "desk:secret-that-somebody-pasted\n")
        await eventually(lambda: len(complaints()) == 1)
        file.unlink()
        await eventually(lambda: len(complaints()) == 2)
        assert (await api.holding(KEY).get("/api/orders")).status == 200
        file.write_text(line("desk", OTHER))

        async def changed() -> bool:
            return (await api.holding(OTHER).get("/api/orders")).status == 200

        await eventually(changed)
        assert (await api.holding(KEY).get("/api/orders")).status == 401
    malformed, missing = complaints()
    assert "line 2" in malformed
    assert "secret" not in malformed
    assert "cannot be read (No such file or directory)" in missing


async def test_a_key_is_the_bytes_that_were_sent(shared_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Those of which `sha256sum` made the hash, whatever they mean."""
    file = tmp_path / "keys"
    file.write_text(line("desk", "schlüssel"))
    sent = "schlüssel".encode()
    async with running_api(shared_database_url, redis_url, api_keys_file=file) as api:
        for name in (b"x-api-key: ", b"authorization: Bearer "):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(b"GET /api/orders?limit=1 HTTP/1.1\r\nhost: x\r\n" + name + sent + b"\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()


async def test_a_key_that_changes_hands_takes_no_socket_along(
    shared_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """What was opened for the old account does not go on for the new one."""
    file = tmp_path / "keys"
    file.write_text(line("old", KEY))
    async with (
        running_api(shared_database_url, redis_url, api_keys_file=file) as api,
        api.holding(KEY).listening("/ws?wallet=w") as ear,
    ):
        file.write_text(line("new", KEY))
        assert await ear.closed() == 4401


async def test_an_account_has_so_many_sockets_and_no_more(shared_database_url: str, redis_url: str) -> None:
    """The one too many is told to come back, others are not concerned, and who leaves makes room."""
    keys = "busy:busy,calm:calm"
    async with running_api(shared_database_url, redis_url, api_keys=keys, max_sockets_per_account=2) as api:
        busy = api.holding("busy")
        async with busy.listening("/ws?wallet=w"), api.holding("calm").listening("/ws?wallet=w"):
            async with busy.listening("/ws?wallet=w") as second:
                async with busy.listening("/ws?wallet=w") as third:
                    assert await third.closed() == 1013
                    assert "2 sockets" in third.reason
                await second.silence(0.1)

            async def opens() -> bool:
                async with busy.listening("/ws?wallet=w") as ear:
                    try:
                        await ear.silence(0.1)
                    except websockets.ConnectionClosed:
                        return False
                    return True

            await eventually(opens)


async def test_idempotency_keys_belong_to_an_account(guarded: RunningApi) -> None:
    """Two keys of one account share them; what two accounts do stands with the accounts."""
    first = await guarded.holding(KEY).post("/api/orders", BODY, key="the-same")
    again = await guarded.holding(OTHER).post("/api/orders", BODY, key="the-same")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json["orderId"] == first.json["orderId"]
