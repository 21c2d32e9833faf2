"""The engine's ports over a wire: connections to the model of the database, the chain, the venues."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import psycopg

from engine_common.errors import NoLiquidity, Unreachable
from engine_common.orders import Event
from engine_common.store import statements
from engine_worker.ports import Blockhash, Height, Quote, QuoteRequest, SendAnswer, Statuses
from simulation.model_chain import read_transaction
from simulation.model_connection import ModelCursor
from simulation.model_tables import Parameters
from simulation.wire import Wire

_CALLS = {
    statements.MOVE: "move",
    statements.CLAIM: "claim",
    statements.SWEEP: "sweep",
    statements.READ_OWNED: "read owned",
    statements.READ_OWN: "read own",
    statements.READ_ORDER: "read order",
    statements.READ_ATTEMPT: "read attempt",
    statements.BEAT: "beat",
    statements.RELEASE: "release",
    statements.FORGET_WORKER: "sign off",
    statements.FORGET_WORKERS: "forget the dead",
}
_NO_CONNECTION_AFTER_S = 0.5


class WiredConnection(AbstractAsyncContextManager["WiredConnection"]):
    """A connection that is lent and used over the wire, as `engine_common.store` uses one."""

    def __init__(self, wire: Wire, service: Literal["store", "heart"] = "store") -> None:
        self._wire = wire
        self._service = service

    async def __aenter__(self) -> "WiredConnection":
        if self._wire.world.unreachable(self._service, self._wire.name):
            await self._wire.sleep(_NO_CONNECTION_AFTER_S)
            raise psycopg.OperationalError("no connection to be had")
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def execute(
        self, statement: str, parameters: Parameters | None = None, *, prepare: bool | None = None
    ) -> ModelCursor:
        del prepare
        given = parameters or {}
        database = self._wire.world.database

        def effect() -> ModelCursor:
            return ModelCursor(*database.execute(statement, given))

        return await self._wire.call(self._service, _CALLS[statement], effect, psycopg.OperationalError)


class WiredChain:
    """The engine's Chain: each call may be answered by a node that is behind."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._world = wire.world
        self._chain = wire.world.chain

    async def _ask(self, name: str, effect: Callable[[float], Any]) -> Any:
        """Let a node answer from what it knows, as of the time that it is handed."""
        who = self._wire.name

        def answer() -> Any:
            return effect(self._world.node_time(who, name))

        return await self._wire.call("chain", name, answer, Unreachable)

    async def latest_blockhash(self) -> Blockhash:
        return await self._ask("blockhash", self._chain.latest_blockhash)

    async def send(self, transaction: bytes) -> SendAnswer:
        signature, swap = read_transaction(transaction)
        self._world.tell(self._wire.name, f"sends attempt {swap.attempt} of order {swap.order}")
        self._world.watch_sending(signature, swap)

        def effect(_at: float) -> SendAnswer:
            answer = self._chain.send(transaction, self._wire.loop.time())
            self._world.tell("chain", f"attempt {swap.attempt} of order {swap.order}: {answer.value}")
            return answer

        return await self._ask("send", effect)

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        def effect(at: float) -> Statuses:
            now = self._wire.loop.time()
            statuses = self._chain.statuses(signatures, at, now, search_history=search_history)
            if self._world.history is not None and (search_history or any(statuses.landings)):
                told = ", ".join("null" if each is None else str(each) for each in statuses.landings)
                asked = "searches the history" if search_history else "asks for statuses"
                self._world.tell(self._wire.name, f"{asked}: at slot {statuses.slot}: {told}")
            return statuses

        return await self._ask("search" if search_history else "statuses", effect)

    async def height(self) -> Height:
        return await self._ask("height", self._chain.height)

    async def received_amount(self, signature: str, mint: str, signer: str) -> int:
        del mint
        paid = await self._ask("paid out", lambda at: self._chain.received_amount(signature, signer, at))
        if paid is None:
            raise Unreachable("the node does not know the transaction yet")
        return paid


class WiredVenue:
    """A venue whose pools pay what the model chain's pools pay, Meteora a little less."""

    program_id = ""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self.name = name
        self._less = 1_000 if name == "meteora" else 0

    async def quote(self, request: QuoteRequest) -> Quote:
        del request
        chain = self._wire.world.chain

        def effect() -> Quote:
            out = chain.out_at(self._wire.loop.time()) - self._less
            return Quote(self.name, f"pool of {self.name}", out, fee_amount=25, price_impact_pct="0.01")

        return await self._wire.call("venues", f"quote {self.name}", effect, Unreachable)


class Announced:
    """An EventSink that compares each event with what is stored at that moment."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def publish(self, event: Event, account: str, wallet: str) -> None:
        del account, wallet
        stored = self._wire.world.database.events[event.order_id]
        for row in reversed(stored):
            if row.seq == event.seq:
                if (row.type, row.status, row.attempt) == (event.type, event.status, event.attempt):
                    return
                break
        self._wire.world.violate("announced", f"{self._wire.name} announced an event that is not stored: {event}")


def no_liquidity() -> NoLiquidity:
    """Return what a venue answers that cannot fill the order."""
    return NoLiquidity("the pool is dry")
