"""Swap transactions: the instruction's layout, and what a transaction must be to be accepted."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from solders.message import Message, MessageV0
from solders.transaction import VersionedTransaction

if TYPE_CHECKING:
    from solders.instruction import CompiledInstruction

    from mockdex.markets import Market, Markets

# Version, pool, input mint, amount in, minimum out, order id, attempt: little-endian, 99 bytes.
_DATA = Struct("<B32s32sQQ16sH")
_VERSION = 1
_OWNER_BYTES = 32
_LARGEST_TRANSACTION_BYTES = 1232


class NotASwap(Exception):
    """The bytes are no transaction with one signature and one swap instruction."""


class SignatureInvalid(Exception):
    """The signature does not verify."""


class Swap(NamedTuple):
    """What a transaction asks for."""

    market: Market
    x_to_y: bool
    amount_in: int
    minimum_out: int
    order: bytes
    attempt: int
    owner: bytes

    @property
    def order_id(self) -> str:
        """The order's UUID."""
        return str(UUID(bytes=self.order))

    @property
    def input_mint(self) -> str:
        """The mint that the owner pays with."""
        return (self.market.x if self.x_to_y else self.market.y).mint

    @property
    def output_mint(self) -> str:
        """The mint that the owner receives."""
        return (self.market.y if self.x_to_y else self.market.x).mint


class SignedSwap(NamedTuple):
    """A transaction whose signature is verified."""

    signature: str
    blockhash: bytes
    record: bytes
    """owner and instruction data: what the chain keeps of it"""
    market: Market


def open_transaction(encoded: str, markets: Markets) -> SignedSwap:
    """Decode and verify a transaction in base64; raise NotASwap or SignatureInvalid."""
    try:
        wire = b64decode(encoded, validate=True)
    except (NotBase64, ValueError):
        raise NotASwap("the transaction is not base64") from None
    if len(wire) > _LARGEST_TRANSACTION_BYTES:
        raise NotASwap(f"a transaction has at most {_LARGEST_TRANSACTION_BYTES} bytes")
    try:
        transaction = VersionedTransaction.from_bytes(wire)
        message = transaction.message
    except Exception:  # noqa: BLE001 - whatever the decoder of another language objects to
        raise NotASwap("the bytes are no transaction") from None
    if not isinstance(message, Message | MessageV0):
        raise NotASwap("a transaction's message is a legacy one or of version 0")
    signatures, instructions = transaction.signatures, message.instructions
    if len(signatures) != 1 or len(instructions) != 1:
        raise NotASwap("a swap transaction has one signature and one instruction")
    market, record = _swap_instruction(message, instructions[0], markets)
    if transaction.verify_with_results() != [True]:
        raise SignatureInvalid("the transaction's signature does not verify")
    return SignedSwap(str(signatures[0]), bytes(message.recent_blockhash), record, market)


def _swap_instruction(
    message: Message | MessageV0, instruction: CompiledInstruction, markets: Markets
) -> tuple[Market, bytes]:
    keys = [bytes(key) for key in message.account_keys]
    accounts = instruction.accounts
    try:
        program = keys[instruction.program_id_index]
        owner, pool, input_mint, output_mint = (keys[at] for at in accounts)
    except (IndexError, ValueError):
        raise NotASwap("a swap names four accounts: owner, pool, input mint, output mint") from None
    data = bytes(instruction.data)
    market = markets.by_key.get(pool)
    if market is None or market.program_key != program:
        raise NotASwap("there is no such pool at the program's venue")
    if len(data) != _DATA.size or data[0] != _VERSION:
        raise NotASwap(f"the instruction's data are {_DATA.size} bytes of version {_VERSION}")
    if data[1:33] != pool or data[33:65] != input_mint or {input_mint, output_mint} != {market.x_key, market.y_key}:
        raise NotASwap("data, accounts and pool do not agree on pool and mints")
    header = message.header
    read_only_from = len(keys) - header.num_readonly_unsigned_accounts
    if header.num_required_signatures != 1 or owner != keys[0] or not 0 < accounts[1] < read_only_from:
        raise NotASwap("the owner signs alone and pays the fee, and the pool is writable")
    if not any(data[65:73]):
        raise NotASwap("the amount in is 0")
    return market, owner + data


def swap_of(record: bytes, markets: Markets) -> Swap:
    """Decode what the chain keeps of an accepted transaction."""
    _version, pool, input_mint, amount_in, minimum_out, order, attempt = _DATA.unpack_from(record, _OWNER_BYTES)
    market = markets.by_key[pool]
    return Swap(market, input_mint == market.x_key, amount_in, minimum_out, order, attempt, record[:_OWNER_BYTES])
