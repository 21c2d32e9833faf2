"""The chain behind Solana's JSON-RPC methods."""

import asyncio
import base64
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from engine_common.errors import Unreachable
from engine_worker.dex.json_rpc import JsonRpc, RpcRefusal
from engine_worker.ports import Blockhash, Clock, Height, Landing, SendAnswer, Statuses

_MAX_SIGNATURES = 256
# A transaction lives for 150 blocks of 400 ms, so a blockhash that is a second old costs it nothing that matters.
_BLOCKHASH_FRESH_S = 1.0
_CONFIRMED = ("confirmed", "finalized")


class SolanaChain:
    """Asks a node, and for a landed transaction that it does not show another one, `archive`, where there is one."""

    def __init__(self, rpc: JsonRpc, clock: Clock, archive: JsonRpc | None = None) -> None:
        self._rpc = rpc
        self._archive = archive
        self._clock = clock
        self._blockhash: Blockhash | None = None
        self._blockhash_until = 0.0
        self._fetching: asyncio.Task[Blockhash] | None = None

    async def _call(self, method: str, params: Sequence[Any], node: JsonRpc | None = None) -> Any:
        try:
            return await (node or self._rpc).call(method, params)
        except RpcRefusal as error:
            raise Unreachable(f"the chain refused {method}: {error}") from error

    async def latest_blockhash(self) -> Blockhash:
        """Return a blockhash that is at most a second old; all orders of that second share it."""
        if self._blockhash is not None and self._clock.monotonic() < self._blockhash_until:
            return self._blockhash
        # All who wait share one question and its outcome: one after the other they would wait for each other's
        # time-outs. Shielded, because it outlives the order that happened to ask first.
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        return await asyncio.shield(self._fetching)

    async def _fetch(self) -> Blockhash:
        asked_at = self._clock.monotonic()
        try:
            with _readable("getLatestBlockhash"):
                value = (await self._call("getLatestBlockhash", [{"commitment": "confirmed"}]))["value"]
                self._blockhash = Blockhash(value["blockhash"], value["lastValidBlockHeight"])
            self._blockhash_until = asked_at + _BLOCKHASH_FRESH_S
            return self._blockhash
        finally:
            self._fetching = None

    async def send(self, transaction: bytes) -> SendAnswer:
        """Hand the transaction over. Raises Unreachable without an answer; no answer decides anything."""
        encoded = base64.b64encode(transaction).decode()
        try:
            await self._rpc.call("sendTransaction", [encoded, {"encoding": "base64", "skipPreflight": True}])
        except RpcRefusal as error:
            return SendAnswer.ALREADY_PROCESSED if error.data == {"err": "AlreadyProcessed"} else SendAnswer.REFUSED
        return SendAnswer.ACCEPTED

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        """Return what is known of the signatures; the slot is that of the oldest answer."""
        chunks = [signatures[i : i + _MAX_SIGNATURES] for i in range(0, len(signatures), _MAX_SIGNATURES)]
        options = {"searchTransactionHistory": search_history}
        answers = await asyncio.gather(*(self._call("getSignatureStatuses", [chunk, options]) for chunk in chunks))
        with _readable("getSignatureStatuses"):
            slot = min((answer["context"]["slot"] for answer in answers), default=0)
            return Statuses(slot, [_landing(status) for answer in answers for status in answer["value"]])

    async def height(self) -> Height:
        """Return the finalized block height with the slot at which it was read."""
        info = await self._call("getEpochInfo", [{"commitment": "finalized"}])
        with _readable("getEpochInfo"):
            return Height(info["absoluteSlot"], info["blockHeight"])

    async def received_amount(self, signature: str, mint: str, signer: str) -> int:
        """Return how much of the mint the landed transaction brought the signer. Raises Unreachable when unknown."""
        options = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        transaction = await self._call("getTransaction", [signature, options])
        if transaction is None and self._archive is not None:
            transaction = await self._call("getTransaction", [signature, options], self._archive)
        if transaction is None:
            raise Unreachable(f"the node does not know transaction {signature} yet")
        with _readable("getTransaction"):
            meta = transaction["meta"]
            after, before = meta["postTokenBalances"], meta["preTokenBalances"]
            return _balance(after, mint, signer) - _balance(before, mint, signer)


def _balance(balances: Sequence[Mapping[str, Any]], mint: str, owner: str) -> int:
    return sum(
        int(balance["uiTokenAmount"]["amount"])
        for balance in balances
        if balance["mint"] == mint and balance["owner"] == owner
    )


@contextmanager
def _readable(method: str) -> Generator[None]:
    """Turn an answer of another form than the method's into Unreachable: it is no usable answer."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unreachable(f"the chain's answer to {method} cannot be read: {error!r}") from error


def _landing(status: Mapping[str, Any] | None) -> Landing | None:
    """Return the landing that a status reports; null, and nothing else, means that the node knows of none."""
    if status is None:
        return None
    return Landing(status["slot"], status["err"], confirmed=status["confirmationStatus"] in _CONFIRMED)
