"""The whole system as a user starts it, `python -m devstack up`, for tests from the outside."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from devstack.ports import free_port

# A market without waiting: what a test says differently, it says by environment.
FAST = {
    "MOCK_DEX_QUOTE_DELAY_MS": "5",
    "MOCK_DEX_EXECUTION_DELAY_MS": "50",
    "MOCK_DEX_FAILURE_RATE": "0",
    "MOCK_DEX_SEED": "7",
    "ENGINE_RETRY_BASE_MS": "50",
}
_FINAL = {"confirmed", "failed", "cancelled"}


def eventually(check: Callable[[], Any], within_s: float = 60, every_s: float = 0.1) -> Any:
    """Return the first true value of the check, or fail with its last one when the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {value!r}"
        time.sleep(every_s)


class RunningStack:
    """One running system."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root = root
        self.environ = {
            **os.environ,
            **FAST,
            "STACK_DIR": str(root),
            "API_PORT": str(free_port()),
            "MOCKDEX_PORT": str(free_port()),
            **environ,
        }
        self.output: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devstack", "up"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if line.startswith("ready: "):
                    self._ready.set()
        self._ready.set()

    def wait_until_ready(self) -> None:
        self._ready.wait(90)
        assert self._process.poll() is None, "".join(self.output)

    def fact(self, name: str) -> str:
        return (self.root / "run" / name).read_text().strip()

    def pid(self, name: str) -> int:
        return int((self.root / "run" / f"{name}.pid").read_text())

    def started_again(self, name: str, before: int) -> bool:
        """Tell whether the process runs under another pid than before."""
        try:
            return self.pid(name) != before
        except FileNotFoundError:  # it has ended, and is about to be started
            return False

    def signal_family(self, name: str, number: signal.Signals) -> None:
        """Send the signal to the process and to all its children, as a machine that hangs would."""
        parent = self.pid(name)
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                    os.kill(int(status.parent.name), number)
        os.kill(parent, number)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def log(self, name: str) -> str:
        return (self.root / "logs" / f"{name}.log").read_text()

    @property
    def api_url(self) -> str:
        return self.fact("api-url")

    def get(self, path: str) -> requests.Response:
        return requests.get(self.api_url + path, timeout=30)

    def post(self, path: str, body: object, **headers: str) -> requests.Response:
        return requests.post(self.api_url + path, json=body, headers=headers, timeout=30)

    def set_dex(self, **settings: object) -> None:
        """Change faults and delays of the running mock DEX."""
        headers = {"authorization": f"Bearer {self.fact('admin-token')}"}
        url = self.fact("dex-url") + "/admin/settings"
        requests.patch(url, json=settings, headers=headers, timeout=30).raise_for_status()

    def ledger(self) -> list[dict[str, Any]]:
        """Return every landed transaction."""
        return requests.get(self.fact("dex-url") + "/ledger?limit=1000", timeout=30).json()["data"]

    def place(self, **order: Any) -> dict[str, Any]:
        """Create and queue an order, 1.5 SOL for USDC unless said otherwise, and return it."""
        body = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5", **order}
        answer = self.post("/api/orders/execute", body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def order(self, order_id: str) -> dict[str, Any]:
        return self.get(f"/api/orders/{order_id}").json()

    def events(self, order_id: str) -> list[dict[str, Any]]:
        return self.get(f"/api/orders/{order_id}/events").json()["data"]

    def finished(self, order_id: str, within_s: float = 60) -> dict[str, Any]:
        """Wait until the order is terminal and return it."""

        def check() -> dict[str, Any] | None:
            order = self.order(order_id)
            return order if order["status"] in _FINAL else None

        return eventually(check, within_s)

    def audit(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the audit as `make audit` does."""
        return subprocess.run(
            [sys.executable, "-m", "devstack", "audit", *options],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def settled(self, within_s: float = 60) -> str:
        """Wait until every order is finished and the audit clean; return what the audit printed."""

        def check() -> str | None:
            audit = self.audit("--settled")
            return audit.stdout if audit.returncode == 0 else None

        return eventually(check, within_s, every_s=0.5)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._reader.join()
        return code


@contextmanager
def running_stack(root: Path, **environ: str) -> Iterator[RunningStack]:
    """Run a system in the directory, on free ports, and stop it at the end."""
    stack = RunningStack(root, environ)
    try:
        stack.wait_until_ready()
        yield stack
    finally:
        stack.stop()
