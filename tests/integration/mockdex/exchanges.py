"""An exchange whose time the test moves, asked through its application but without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from integration.mockdex.swaps import SOL, USDC, Wanted, sign
from mockdex.app import build_app, open_desks
from mockdex.exchange import Exchange
from mockdex.settings import MockdexSettings

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "let-me-in"
QUIET = {"quote_delay_ms": 0, "failure_rate": 0.0}


class Answered(Exception):
    """A call was answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.err = error.get("data", {}).get("err")


class Asked:
    """The application as a client sees it."""

    def __init__(self, exchange: Exchange) -> None:
        self._app = build_app(exchange, open_desks(exchange), TOKEN)

    async def http(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Return status, JSON and headers."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "extensions": {"mockdex.hang_up": lambda: sent.append({"type": "hung up"})},
        }
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop() if incoming else {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await self._app(scope, receive, send)
        if sent[0]["type"] == "hung up":
            raise ConnectionResetError
        answer_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], orjson.loads(b"".join(event.get("body", b"") for event in sent[1:])), answer_headers

    async def get(self, path: str, **parameters: object) -> tuple[int, Any]:
        """Return status and JSON."""
        status, body, _ = await self.http("GET", f"{path}?{urlencode(parameters)}")
        return status, body

    async def quote(self, venue: str = "raydium", **changes: object) -> tuple[int, Any]:
        """Ask for a quote, of 1 SOL in USDC unless said otherwise."""
        wanted = {"inputMint": SOL, "outputMint": USDC, "amount": 10**9, "slippageBps": 50} | changes
        return await self.get(f"/venues/{venue}/quote", **wanted)

    async def tune(self, **changes: object) -> tuple[int, Any]:
        """Change settings at run time."""
        body = orjson.dumps(changes)
        status, answer, _ = await self.http("PATCH", "/admin/settings", body, authorization=f"Bearer {TOKEN}")
        return status, answer

    async def batch(self, *calls: tuple[Any, ...]) -> list[Any]:
        """Make calls of (method, parameters …) in one request; return the array that came back."""
        body = [{"jsonrpc": "2.0", "id": at, "method": call[0], "params": call[1:]} for at, call in enumerate(calls)]
        return (await self.http("POST", "/rpc", orjson.dumps(body)))[1]

    async def rpc(self, method: str, *parameters: Any) -> Any:
        """Make a single call; return its result or raise Answered."""
        body = {"jsonrpc": "2.0", "id": "one", "method": method, "params": parameters}
        _, answer, _ = await self.http("POST", "/rpc", orjson.dumps(body))
        assert answer["id"] == "one"
        if "error" in answer:
            raise Answered(answer["error"])
        return answer["result"]

    async def send(self, encoded: str) -> str:
        """Send a transaction; return its signature."""
        return await self.rpc("sendTransaction", encoded, {"encoding": "base64"})

    async def statuses(self, *signatures: str, history: bool = True) -> tuple[int, list[Any]]:
        """Return the slot of the answer and the statuses."""
        result = await self.rpc("getSignatureStatuses", signatures, {"searchTransactionHistory": history})
        return result["context"]["slot"], result["value"]

    async def ledger(self) -> list[Any]:
        """Return the whole ledger."""
        rows: list[Any] = []
        after = ""
        while True:
            _, page = await self.get("/ledger", after=after)
            rows += page["data"]
            if page["nextCursor"] is None:
                return rows
            after = page["nextCursor"]


class Stepped:
    """An exchange that stands still until its test lets time pass."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.exchange: Exchange
        self.ask: Asked

    async def open(self, directory: Path | None = None, **settings: object) -> Stepped:
        """Open it; settings are the names of /admin/settings or those of the environment without prefix."""
        known = {f"mock_dex_{name}": value for name, value in (QUIET | {"seed": 7} | settings).items()}
        loaded = MockdexSettings(mock_dex_data_dir=directory, **known)
        self.exchange = await Exchange.open(loaded, on_failure=lambda: None, clock=lambda: self.ms)
        self.exchange.driver.stop()
        await self.pass_ms(0)
        self.ask = Asked(self.exchange)
        return self

    async def pass_ms(self, ms: int) -> None:
        """Let time pass, and what is due in it happen and be committed."""
        self.ms += ms
        chain = self.exchange.chain
        turn = chain.turn()
        if turn is not None:
            await turn.committed
            chain.show(turn)

    async def pass_blocks(self, blocks: int) -> None:
        """Let blocks pass."""
        await self.pass_ms(blocks * 400)

    def swap(self, number: int = 1, *, legacy: bool = False, **changes: Any) -> str:
        """Sign a swap with the newest blockhash."""
        return sign(self.wanted(number, **changes), legacy=legacy)

    def wanted(self, number: int, **changes: Any) -> Wanted:
        """Describe a swap with the newest blockhash."""
        venue, source, target = (
            changes.get(name, default)
            for name, default in (("venue", "raydium"), ("input_mint", SOL), ("output_mint", USDC))
        )
        found = self.exchange.markets.find(venue, source, target)
        assert found is not None
        blockhash, _ = self.exchange.chain.latest_blockhash()
        return Wanted(found[0].address, blockhash, number, **changes)

    async def close(self) -> None:
        """Commit and close."""
        await self.exchange.close()
