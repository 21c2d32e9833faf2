"""Our services as processes of their own, and what tests ask of them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from solders.keypair import Keypair

from devstack.ports import free_port
from support.waiting import eventually

ADMIN_TOKEN = "admin"
# A market without waiting; what a test wants differently it sets at run time.
FAST = {
    "quote_delay_ms": 0,
    "execution_delay_ms": 50,
    "failure_rate": 0.0,
    "force_fail": False,
    "drop_rate": 0.0,
    "no_liquidity_rate": 0.0,
    "quote_error_rate": 0.0,
    "reply_lost_rate": 0.0,
    "rpc_error_rate": 0.0,
}
WALLET_KEY = str(Keypair.from_seed(bytes(range(32))))


class Service:
    """A running `python -m MODULE` and its log."""

    def __init__(self, module: str, directory: Path, environ: dict[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log_file = directory / f"{module}-{free_port()}.log"
        neutral = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=neutral | {"LOG_LEVEL": "info"} | environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def ready(self, url: str) -> None:
        """Wait until the address answers 200; AssertionError with the log when the process ends before."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:

            async def answers() -> bool:
                assert self.process.poll() is None, self.log
                try:
                    async with session.get(url) as response:
                        return response.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    return False

            await eventually(answers)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end and return the exit code."""
        await eventually(lambda: self.process.poll() is not None)
        assert self.process.returncode is not None
        return self.process.returncode

    async def stop(self) -> int:
        """Stop it as a supervisor does and return the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()


class MockDex(Service):
    """The mock DEX, whose faults and delays the tests change while it runs."""

    def __init__(self, directory: Path, port: int | None = None, **environ: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = {
            "MOCKDEX_PORT": str(self.port),
            "MOCK_DEX_SEED": "7",
            "MOCK_DEX_BLOCK_MS": "100",
            "MOCK_DEX_VALID_BLOCKS": "600",
            "MOCK_DEX_ADMIN_TOKEN": ADMIN_TOKEN,
            "MOCK_DEX_DATA_DIR": str(directory / "chain"),
        }
        super().__init__("mockdex", directory, own | environ)

    async def until_ready(self) -> None:
        await self.ready(f"{self.url}/readyz")

    async def set(self, **settings: object) -> None:
        """Change faults and delays."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with (
            aiohttp.ClientSession() as session,
            session.patch(f"{self.url}/admin/settings", json=settings, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()

    async def landings(self, *order_ids: UUID) -> list[dict[str, Any]]:
        """Return what landed of the orders, in order of landing."""
        wanted, found, after = {str(order_id) for order_id in order_ids}, [], ""
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/ledger?limit=1000{after}") as response:
                    page = json.loads(await response.text())
                found += [row for row in page["data"] if row["orderId"] in wanted]
                if page["nextCursor"] is None:
                    return found
                after = f"&after={page['nextCursor']}"


class Worker(Service):
    """A worker, with its probes and metrics."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.port = free_port()
        own = {"METRICS_PORT": str(self.port), "ENGINE_WALLET_KEY": WALLET_KEY, "ENGINE_RETRY_BASE_MS": "20"}
        super().__init__("engine_worker", directory, own | environ)

    async def until_ready(self) -> None:
        await self.ready(f"http://127.0.0.1:{self.port}/readyz")

    async def readiness(self) -> dict[str, str]:
        """Return what its readiness probe says."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/readyz") as response:
            return json.loads(await response.text())

    async def metric(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            lines = (await response.text()).splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        assert values, f"there is no metric {name}"
        return sum(values)
