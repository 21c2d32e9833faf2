"""The real process: started as a supervisor starts it, stopped as one stops it, and killed."""

import asyncio
import os
import signal
import socket
import sys

import aiohttp
import orjson
import pytest

from integration.mockdex.swaps import SOL, USDC, Wanted, sign

FAST = {
    "MOCK_DEX_BLOCK_MS": "200",
    "MOCK_DEX_VALID_BLOCKS": "1000",
    "MOCK_DEX_QUOTE_DELAY_MS": "0",
    "MOCK_DEX_EXECUTION_DELAY_MS": "1500",
}


class Process:
    """A running `python -m mockdex` on a free port."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.announced: dict = {}
        self.session: aiohttp.ClientSession

    async def ready(self) -> "Process":
        """Wait until it says where it listens."""
        while not self.announced:
            line = await self.process.stdout.readline()
            assert line, await self.process.wait()
            told = orjson.loads(line)
            if told["event"] == "mock DEX listens":
                self.announced = told
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.announced['port']}")
        return self

    async def rpc(self, method, *parameters):
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with self.session.post("/rpc", data=orjson.dumps(call)) as answer:
            return (await answer.json())["result"]

    async def batch(self, *calls):
        body = [{"jsonrpc": "2.0", "id": at, "method": call[0], "params": call[1:]} for at, call in enumerate(calls)]
        async with self.session.post("/rpc", data=orjson.dumps(body)) as answer:
            return await answer.json()

    async def ledger(self):
        async with self.session.get("/ledger?limit=5000") as answer:
            return (await answer.json())["data"]

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        await self.session.close()
        self.process.send_signal(number)
        await self.process.stdout.read()
        return await self.process.wait()


@pytest.fixture
async def start(tmp_path):
    """Start processes with the variables given; whatever still runs at the end is killed."""
    processes = []

    async def begin(**variables: str) -> Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOCK", "OTEL"))}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mockdex",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | {"MOCKDEX_PORT": "0"} | variables,
            cwd=tmp_path,
        )
        processes.append(process)
        return Process(process)

    yield begin
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def batched(items):
    """Split into lists of which one request may carry the transactions, or the signatures."""
    rest = list(items)
    return [rest[first : first + 64] for first in range(0, len(rest), 64)]


async def poll_until_landed(process, signatures):
    """Ask for statuses until all are there; return the heights reported meanwhile."""
    heights = []
    for some in batched(signatures):
        while None in (await process.rpc("getSignatureStatuses", some, {"searchTransactionHistory": True}))["value"]:
            heights.append((await process.rpc("getEpochInfo"))["blockHeight"])
            await asyncio.sleep(0.05)
    return heights


async def test_what_was_accepted_outlives_kill_9(start, tmp_path):
    """Killed in the middle of accepting and landing: all that was accepted lands, once, and no height goes back."""
    data = {"MOCK_DEX_DATA_DIR": str(tmp_path / "chain"), **FAST}
    process = await (await start(**data)).ready()
    quote_path = f"/venues/meteora/quote?inputMint={SOL}&outputMint={USDC}&amount=1000000000"
    async with process.session.get(quote_path) as answer:
        pool = (await answer.json())["pool"]
    blockhash = (await process.rpc("getLatestBlockhash"))["value"]["blockhash"]
    sent: dict[str, str] = {}
    landed = []
    while len(landed) < 50:
        swaps = [sign(Wanted(pool, blockhash, len(sent) + at, venue="meteora")) for at in range(20)]
        answers = await process.batch(*(("sendTransaction", swap, {"encoding": "base64"}) for swap in swaps))
        sent.update(zip((answer["result"] for answer in answers), swaps, strict=True))
        await asyncio.sleep(0.05)
        landed = await process.ledger()
    reported = (await process.rpc("getEpochInfo"))["blockHeight"]
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL
    assert len(landed) < len(sent)

    process = await (await start(**data)).ready()
    assert process.announced["height"] >= reported
    assert [row["signature"] for row in (await process.ledger())[: len(landed)]] == [row["signature"] for row in landed]
    heights = await poll_until_landed(process, sent)
    assert heights == sorted(heights)
    assert min(heights, default=reported) >= reported
    for swaps in batched(sent.values()):
        again = await process.batch(*(("sendTransaction", swap, {"encoding": "base64"}) for swap in swaps))
        assert {answer["error"]["data"]["err"] for answer in again} == {"AlreadyProcessed"}
    more = sign(Wanted(pool, blockhash, 10_000, venue="meteora"))
    sent[await process.rpc("sendTransaction", more, {"encoding": "base64"})] = more
    await poll_until_landed(process, sent)
    ledger = await process.ledger()
    assert sorted(row["signature"] for row in ledger) == sorted(sent)
    slots = [row["slot"] for row in ledger]
    assert slots == sorted(slots)
    assert await process.end(signal.SIGTERM) == 0


async def test_sigterm_ends_it_with_0_and_metrics_have_a_port_of_their_own(start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics_port = free.getsockname()[1]
    process = await (await start(METRICS_PORT=str(metrics_port))).ready()
    assert isinstance(process.announced["seed"], int)
    async with process.session.get(f"http://127.0.0.1:{metrics_port}/readyz") as answer:
        assert (await answer.json())["status"] == "up"
    async with process.session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
        assert "mockdex_block_height" in await answer.text()
    async with process.session.get("/admin/settings") as answer:
        assert answer.status == 404
    assert await process.end(signal.SIGTERM) == 0


async def test_what_it_cannot_start_with_is_one_sentence(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for variables, sentence in (
            ({"MOCKDEX_PORT": port}, f"MOCKDEX_HOST, MOCKDEX_PORT: cannot listen on 127.0.0.1:{port}"),
            ({"MOCK_DEX_FAILURE_RATE": "often"}, "MOCK_DEX_FAILURE_RATE must be a number"),
            ({"ENV": "production", "MOCK_DEX_ADMIN_TOKEN": "t"}, "MOCK_DEX_ADMIN_TOKEN must not be set when ENV=produ"),
        ):
            process = (await start(**variables)).process
            _, told = await process.communicate()
            assert process.returncode == 2
            assert told.decode().startswith(sentence)
            assert told.count(b"\n") == 1
