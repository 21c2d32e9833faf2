"""What each JSON-RPC method does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mockdex.balances import transaction_json
from mockdex.blocks import GENESIS_HEIGHT, slot_of
from mockdex.chain import AlreadyProcessed, BlockhashNotFound
from mockdex.landings import REMEMBERED_BLOCKS, Landing, status_json
from mockdex.transactions import NotASwap, SignatureInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mockdex.chain import Chain
    from mockdex.driver import Driver
    from mockdex.faults import Faults
    from mockdex.ledger import Ledger
    from mockdex.markets import Markets

LARGEST_STATUS_REQUEST = 256
SLOTS_IN_EPOCH = 432_000
_FARTHEST_BEHIND_SLOTS = 20
_INVALID_PARAMS, _REJECTED, _SIGNATURE_FAILED = -32602, -32002, -32003


class RpcError(Exception):
    """A call that is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class ReplyLost(Exception):
    """By an injected fault nobody hears the answer."""


class Deferred(NamedTuple):
    """A result that has to be waited for; the other calls of a batch go on meanwhile."""

    wait: Callable[[], Awaitable[Any]]


class Methods:
    """JSON-RPC over the chain."""

    def __init__(self, chain: Chain, driver: Driver, ledger: Ledger, markets: Markets, faults: Faults) -> None:
        self._chain = chain
        self._driver = driver
        self._ledger = ledger
        self._markets = markets
        self._faults = faults

    def by_name(self) -> dict[str, Callable[[list[Any]], Any]]:
        """Return the methods by their names on the wire."""
        return {
            "getLatestBlockhash": self._get_latest_blockhash,
            "getBlockHeight": self._get_block_height,
            "getEpochInfo": self._get_epoch_info,
            "sendTransaction": self._send_transaction,
            "getSignatureStatuses": self._get_signature_statuses,
            "getTransaction": self._get_transaction,
        }

    def _get_latest_blockhash(self, _params: list[Any]) -> Any:
        blockhash, last_valid_height = self._chain.latest_blockhash()
        return _in_context(self._chain.slot, {"blockhash": blockhash, "lastValidBlockHeight": last_valid_height})

    def _get_block_height(self, _params: list[Any]) -> Any:
        return self._chain.height

    def _get_epoch_info(self, _params: list[Any]) -> Any:
        epoch, index = divmod(self._chain.slot, SLOTS_IN_EPOCH)
        return {
            "absoluteSlot": self._chain.slot,
            "blockHeight": self._chain.height,
            "epoch": epoch,
            "slotIndex": index,
            "slotsInEpoch": SLOTS_IN_EPOCH,
            "transactionCount": self._chain.landed_count,
        }

    def _send_transaction(self, params: list[Any]) -> Any:
        encoded = _string(params, "a transaction")
        if _option(params, "encoding") != "base64":
            raise RpcError(_INVALID_PARAMS, "Invalid params: transactions are sent with encoding base64")
        try:
            sent = self._chain.send(encoded)
        except NotASwap as error:
            raise RpcError(_INVALID_PARAMS, f"Invalid params: {error}") from None
        except SignatureInvalid:
            raise RpcError(_SIGNATURE_FAILED, "Transaction signature verification failure") from None
        except (AlreadyProcessed, BlockhashNotFound) as error:
            name = type(error).__name__
            raise RpcError(_REJECTED, f"Transaction simulation failed: {name}", {"err": name, "logs": []}) from None
        committed = sent.committed
        if committed is None or (committed.done() and not sent.reply_lost):
            return sent.signature
        self._driver.wake()

        async def wait() -> str:
            # Not awaited itself: a request that is cancelled must not cancel what others wait for.
            if not committed.done():
                await asyncio.wait((committed,))
            committed.result()
            if sent.reply_lost:
                raise ReplyLost
            return sent.signature

        return Deferred(wait)

    def _get_signature_statuses(self, params: list[Any]) -> Any:
        signatures = cast("list[Any]", params[0]) if params and isinstance(params[0], list) else None
        if signatures is None or len(signatures) > LARGEST_STATUS_REQUEST:
            raise RpcError(_INVALID_PARAMS, f"Invalid params: a list of at most {LARGEST_STATUS_REQUEST} signatures")
        history = _option(params, "searchTransactionHistory") is True
        slot = self._slot_of_answer()
        chain = self._chain
        oldest = 0 if history else slot - REMEMBERED_BLOCKS
        values: list[Any] = [None] * len(signatures)
        unknown: dict[str, list[int]] = {}
        in_flight, status = chain.in_flight, chain.landings.status
        for place, signature in enumerate(signatures):
            # Most that is asked for is still in flight, again and again.
            if not isinstance(signature, str) or signature in in_flight:
                continue
            found = status(signature)
            if found is None:
                unknown.setdefault(signature, []).append(place)
            elif oldest <= found[0] <= slot:
                values[place] = status_json(*found)
        if not unknown or not history:
            return _in_context(slot, values)

        async def wait() -> Any:
            for signature, landing in (await self._ledger.find(list(unknown))).items():
                for place in unknown[signature] if landing.slot <= slot else ():
                    values[place] = status_json(landing.slot, landing.error)
            return _in_context(slot, values)

        return Deferred(wait)

    def _slot_of_answer(self) -> int:
        """Return the slot as of which statuses are told: the present one, or by an injected fault an older one."""
        slot = self._chain.slot
        if not self._faults.strikes("stale_status_rate"):
            return slot
        behind = 1 + self._faults.draw("slots_behind") % _FARTHEST_BEHIND_SLOTS
        return max(slot - behind, slot_of(GENESIS_HEIGHT))

    def _get_transaction(self, params: list[Any]) -> Any:
        signature = _string(params, "a signature")
        if self._faults.marks("transaction_pruned_rate", signature):
            return None
        landing = self._chain.landings.details(signature)
        if landing is not None:
            return transaction_json(landing, self._markets)
        if signature in self._chain.in_flight:
            return None

        async def wait() -> Any:
            stored: Landing | None = (await self._ledger.find([signature])).get(signature)
            return stored and transaction_json(stored, self._markets)

        return Deferred(wait)


def _in_context(slot: int, value: Any) -> dict[str, Any]:
    return {"context": {"slot": slot}, "value": value}


def _string(params: list[Any], what: str) -> str:
    first: Any = params[0] if params else None
    if not isinstance(first, str):
        raise RpcError(_INVALID_PARAMS, f"Invalid params: the first one is {what}")
    return first


def _option(params: list[Any], name: str) -> Any:
    options: Any = params[1] if len(params) > 1 else None
    return cast("dict[str, Any]", options).get(name) if isinstance(options, dict) else None
