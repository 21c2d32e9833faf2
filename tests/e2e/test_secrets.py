"""Secrets planted in a running system are in nothing that it says: not in a log, a span, an answer or a command line.

Everything logs at its most talkative level, and everything that can be made to complain is.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import websockets
from solders.keypair import Keypair

from integration.api import outages
from integration.api.outages import Server
from support.running_stack import RunningStack, eventually, running_stack
from support.waiting import PATIENCE_S

API_KEY = "PlantedApiKey-5d41402abc4b2a76"
WRONG_KEY = "PlantedWrongKey-b9719d911017c592"
DATABASE_PASSWORD = "PlantedDatabasePassword7f3a"
REDIS_PASSWORD = "PlantedRedisPassword91bb"
ADMIN_TOKEN = "PlantedAdminToken3c9d"
WALLET = Keypair()
SECRETS = {
    "the API key": API_KEY,
    "a wrong API key": WRONG_KEY,
    "the database's password": DATABASE_PASSWORD,
    "Redis's password": REDIS_PASSWORD,
    "the mock DEX's token": ADMIN_TOKEN,
    "the wallet's key": str(WALLET),
    "the wallet's key, as bytes": bytes(WALLET).hex(),
}
ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}


class Heard:
    """Everything that the system said to anybody."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    def add(self, where: str, what: bytes | str) -> None:
        self.said.append((where, what.encode() if isinstance(what, str) else what))

    def leaks(self) -> set[tuple[str, str]]:
        """Return which secret was heard where."""
        return {
            (name, where) for where, what in self.said for name, secret in SECRETS.items() if secret.encode() in what
        }


@contextlib.contextmanager
def receiver(heard: Heard) -> Iterator[str]:
    """Take spans and metrics as they are sent, and yield where."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.add(f"OTLP {self.path}", self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def with_password(url: str, user: str, password: str) -> str:
    """Return the URL with other credentials."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:{password}@{rest.rpartition('@')[2]}"


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Run a PostgreSQL with a planted password, and a Valkey that takes any."""
    postgres = outages.postgres(tmp_path_factory.mktemp("postgres"))
    valkey = outages.valkey(tmp_path_factory.mktemp("valkey"))
    postgres.up()
    valkey.up()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE engine SUPERUSER LOGIN PASSWORD '{DATABASE_PASSWORD}'")
    yield postgres, valkey
    postgres.down()
    valkey.down()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, servers: tuple[Server, Server], heard: Heard
) -> Iterator[RunningStack]:
    """Run a system full of planted secrets."""
    postgres, valkey = servers
    with (
        receiver(heard) as url,
        running_stack(
            tmp_path_factory.mktemp("stack"),
            API_KEYS=f"desk:{API_KEY}",
            DATABASE_URL=with_password(postgres.url, "engine", DATABASE_PASSWORD),
            REDIS_URL=with_password(valkey.url, "default", REDIS_PASSWORD),
            ENGINE_WALLET_KEY=str(WALLET),
            MOCK_DEX_ADMIN_TOKEN=ADMIN_TOKEN,
            LOG_LEVEL="debug",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_BSP_SCHEDULE_DELAY="200",
            OTEL_METRIC_EXPORT_INTERVAL="500",
        ) as stack,
    ):
        yield stack


def ask(heard: Heard, url: str, method: str, path: str, **options: Any) -> int:
    """Ask, and keep what is answered."""
    answer = requests.request(method, url + path, timeout=30, **options)
    heard.add(f"the answer to {method}", answer.content + repr(answer.headers).encode())
    return answer.status_code


def say(heard: Heard, url: str, data: bytes) -> None:
    """Say something that may be no request at all, and keep what is answered."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            heard.add("the answer to bytes", part)


async def listen(heard: Heard, url: str, path: str, *messages: str, **options: Any) -> int:
    """Open a WebSocket, say something, and keep what is heard; return how it was closed."""
    address = url.replace("http://", "ws://") + path
    async with websockets.connect(address, **options) as connection:
        for message in messages:
            await connection.send(message)
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                heard.add("a socket", str(await asyncio.wait_for(connection.recv(), 20)))
    close = connection.protocol.close_rcvd
    assert close is not None
    heard.add("a close", close.reason)
    return close.code


WAYS = [
    lambda key: {"authorization": f"Bearer {key}"},
    lambda key: {"x-api-key": key},
    lambda key: {"x-api-key": key, "authorization": f"Bearer {key}"},
]


def use_keys_as_intended(heard: Heard, url: str) -> None:
    """Trade with the key, and try to with a wrong one."""
    for way in WAYS:
        assert ask(heard, url, "POST", "/api/orders/execute", json=ORDER, headers=way(API_KEY)) == 202
        assert ask(heard, url, "POST", "/api/orders/execute", json=ORDER, headers=way(WRONG_KEY)) == 401
    both = {"x-api-key": API_KEY, "authorization": f"Bearer {WRONG_KEY}"}
    assert ask(heard, url, "GET", "/api/orders", headers=both) == 401

    async def sockets() -> None:
        offered: Any = ["bearer", API_KEY]
        order = '{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}'
        assert await listen(heard, url, "/api/orders/execute", order, subprotocols=offered) == 1000
        wrong: Any = ["bearer", WRONG_KEY]
        assert await listen(heard, url, "/ws?wallet=w", subprotocols=wrong) == 4401

    asyncio.run(sockets())


def misplace_keys(heard: Heard, url: str) -> None:
    """Put the key where it does not belong, with and without a valid one beside it."""
    for headers in ({}, {"x-api-key": API_KEY}):
        for path in (
            f"/{API_KEY}",
            f"/api/orders/{API_KEY}",
            f"/api/orders/{API_KEY}/events",
            f"/livez/{API_KEY}",
            f"/api/orders?api_key={API_KEY}",
            f"/api/orders?limit={API_KEY}&cursor={API_KEY}&status={API_KEY}",
            f"/api/orders?limit=%ff{API_KEY}",
            f"/livez?token={API_KEY}",
        ):
            ask(heard, url, "GET", path, headers=headers)
            ask(heard, url, "POST", path, headers=headers)
        for body in (API_KEY, f'"{API_KEY}"', f'{{"tokenIn": "{API_KEY}", "amountIn": "{API_KEY}"}}', f"{{{API_KEY}"):
            typed = headers | {"content-type": "application/json"}
            ask(heard, url, "POST", "/api/orders/execute", data=body, headers=typed)
        for name in ("content-type", "traceparent", "origin", "cookie", "accept", "host"):
            ask(heard, url, "POST", "/api/orders", data="{}", headers=headers | {name: API_KEY})
        long = headers | {"idempotency-key": API_KEY * 10}
        assert ask(heard, url, "POST", "/api/orders", json=ORDER, headers=long) in (401, 422)

    async def sockets() -> None:
        given = {"additional_headers": {"x-api-key": API_KEY}}
        for path in (
            f"/ws/orders/{API_KEY}",
            f"/api/orders/execute?orderId={API_KEY}",
            f"/ws?wallet=w&since={API_KEY}",
            f"/ws/orders/x?after={API_KEY}",
        ):
            assert await listen(heard, url, path, **given) in (4004, 4422)
            assert await listen(heard, url, f"{path}&api_key={API_KEY}") == 4401
        for message in (API_KEY, f'"{API_KEY}"', f'{{"tokenIn": "{API_KEY}"}}'):
            assert await listen(heard, url, "/api/orders/execute", message, **given) == 4422
        with contextlib.suppress(websockets.InvalidStatus):
            await listen(heard, url, f"/ws/{API_KEY}", **given)

    asyncio.run(sockets())


def break_the_protocol(heard: Heard, url: str) -> None:
    """Hold the key in what is hardly HTTP."""
    key = API_KEY.encode()
    upgrade = b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    for data in (
        key + b"\r\n\r\n",
        key + b" / HTTP/1.1\r\n\r\n",
        b"GET /" + key + b" HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + key + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nauthorization: Bearer " + key + b"\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + key + b" : x\r\n\r\n",
        b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: " + key + b"\r\n\r\n",
        b"POST /orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + key + b"\r\n",
        b"GET http://" + key + b":" + key + b"/ HTTP/1.1\r\nhost: x\r\n\r\n",
        upgrade + b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n",
        upgrade + b"sec-websocket-version: " + key + b"\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        upgrade + b"sec-websocket-version: 13\r\nsec-websocket-extensions: " + key + b";;=\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + key * 2000 + b"\r\n\r\n",
    ):
        say(heard, url, data)


def abuse_the_administration(heard: Heard, url: str) -> None:
    """Use the mock DEX's token rightly and wrongly."""
    bearer = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    assert ask(heard, url, "PATCH", "/admin/settings", json={"failure_rate": 0}, headers=bearer) == 200
    for headers in (bearer, {"authorization": f"Basic {ADMIN_TOKEN}"}, {"authorization": f"Bearer {ADMIN_TOKEN}x"}):
        for body in (ADMIN_TOKEN, f'{{"failure_rate": "{ADMIN_TOKEN}"}}'):
            assert ask(heard, url, "PATCH", "/admin/settings", data=body, headers=headers) in (401, 422)
        ask(heard, url, "GET", f"/admin/{ADMIN_TOKEN}?token={ADMIN_TOKEN}", headers=headers)
    for body in (ADMIN_TOKEN, f'{{"jsonrpc": "2.0", "id": 1, "method": "{ADMIN_TOKEN}", "params": ["{ADMIN_TOKEN}"]}}'):
        ask(heard, url, "POST", "/rpc?token=" + ADMIN_TOKEN, data=body.replace(ADMIN_TOKEN, "x"))
    say(heard, url, f"GET / HTTP/1.1\r\nauthorization: Bearer {ADMIN_TOKEN}\0\r\n\r\n".encode())


def take_servers_away(heard: Heard, stack: RunningStack, postgres: Server, valkey: Server) -> None:
    """Ask while PostgreSQL, then Valkey, are away, until everything works again."""
    key = {"x-api-key": API_KEY}

    def works() -> bool:
        return ask(heard, stack.api_url, "POST", "/api/orders/execute", json=ORDER, headers=key) == 202

    for server in (postgres, valkey):
        server.down()
        for method, path in (("POST", "/api/orders/execute"), ("GET", "/api/orders"), ("GET", "/health")):
            ask(heard, stack.api_url, method, path, json=ORDER if method == "POST" else None, headers=key)
        server.up()
        eventually(works)
    before = stack.pid("worker-1")
    stack.signal("worker-1", signal.SIGKILL)
    eventually(lambda: stack.started_again("worker-1", before))


def command_lines(stack: RunningStack) -> Iterator[bytes]:
    """Yield the command line of every process of the stack: other users of the machine may read them."""
    mark = str(stack.root).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"DEVSTACK_ROOT=" + mark in (process / "environ").read_bytes():
                yield (process / "cmdline").read_bytes()


def test_a_running_system_keeps_its_secrets(stack: RunningStack, servers: tuple[Server, Server], heard: Heard) -> None:
    """Whatever is asked of it, and whatever it is deprived of."""
    use_keys_as_intended(heard, stack.api_url)
    misplace_keys(heard, stack.api_url)
    break_the_protocol(heard, stack.api_url)
    abuse_the_administration(heard, stack.fact("dex-url"))
    take_servers_away(heard, stack, *servers)
    lines = list(command_lines(stack))
    assert len(lines) >= 3
    for line in lines:
        heard.add("a command line", line)
    assert stack.stop() == 0

    logs = {path.name: path.read_bytes() for path in (stack.root / "logs").iterdir()}
    for name, content in logs.items():
        heard.add(name, content)
    heard.add("the terminal", "".join(stack.output))
    for service in ("api", "worker-1", "mockdex"):
        assert b'"level":"debug"' in logs[f"{service}.log"], "the test has to hear what a talkative log says"
    assert any(where == "OTLP /v1/traces" and b"/api/orders/execute" in what for where, what in heard.said)
    assert heard.leaks() == set()
    assert b"Traceback" not in logs["api.log"], logs["api.log"].decode()


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("engine_api", {"API_KEYS": f"desk:{API_KEY},{API_KEY}"}),
        ("engine_api", {"API_KEYS": f"desk {API_KEY}", "RATE_LIMIT_READS": "many"}),
        ("engine_api", {"API_KEYS_FILE": "KEYS"}),
        ("engine_api", {"DATABASE_URL": f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:port/db"}),
        ("engine_api", {"DATABASE_URL": f"postgresql://u:a/{DATABASE_PASSWORD}@127.0.0.1:1/db"}),
        ("engine_api", {"DATABASE_URL": f"mysql://u:{DATABASE_PASSWORD}@127.0.0.1:1/db"}),
        ("engine_api", {"DATABASE_URL": f"postgresql://u:{DATABASE_PASSWORD}/x@127.0.0.1:1/db"}),
        ("engine_api", {"DATABASE_URL": f"postgresql://u:%zz{DATABASE_PASSWORD}@127.0.0.1:1/db"}),
        ("engine_api", {"REDIS_URL": f"redis://default:{REDIS_PASSWORD}@127.0.0.1:port/0"}),
        ("engine_api", {"REDIS_URL": f"redis://default:{REDIS_PASSWORD}#x@127.0.0.1:1/0"}),
        ("engine_api", {"REDIS_URL": f"redis://default:a/{REDIS_PASSWORD}@127.0.0.1:1/0"}),
        ("engine_worker", {"ENGINE_WALLET_KEY": str(WALLET) + "x"}),
        ("engine_worker", {"REDIS_URL": f"redis://default:{REDIS_PASSWORD}@127.0.0.1:port/0"}),
        ("engine_worker", {"DATABASE_URL": f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:port/db"}),
        ("engine_common.migrate", {"DATABASE_URL": f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:port/db"}),
        ("engine_common.migrate", {"DATABASE_URL": f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:1/db"}),
    ],
)
def test_a_start_that_fails_keeps_its_secrets(tmp_path: Path, module: str, settings: dict[str, str]) -> None:
    """What is wrong is said without what stands there."""
    keys = tmp_path / "keys"
    keys.write_text(f"desk:{API_KEY}\n")
    neutral = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/db",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "ENGINE_WALLET_KEY": str(Keypair()),
        "API_PORT": "0",
        "LOG_LEVEL": "debug",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env=neutral | {name: value.replace("KEYS", str(keys)) for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    select.select([process.stdout], [], [], PATIENCE_S)  # on a busy machine the first word takes a while
    with contextlib.suppress(subprocess.TimeoutExpired):  # some wait for their servers for ever
        process.wait(5)
    process.terminate()
    said, _ = process.communicate(timeout=30)
    heard = Heard()
    heard.add(module, said)
    assert said
    assert heard.leaks() == set(), said.decode()
