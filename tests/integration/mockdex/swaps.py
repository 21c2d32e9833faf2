"""Signed swap transactions, as an engine would send them."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

if TYPE_CHECKING:
    from collections.abc import Iterable

SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
PROGRAMS = {
    "raydium": "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8",
    "meteora": "LBUZKhRxPF3XUpBcjp4YzTKgLccjZhTSDM9YuVaPwxo",
}
OWNER = Keypair.from_seed(bytes(range(32)))


class Wanted(NamedTuple):
    """A swap to be signed; the defaults sell 1 SOL for whatever it brings."""

    pool: str
    blockhash: str
    number: int
    venue: str = "raydium"
    input_mint: str = SOL
    output_mint: str = USDC
    amount_in: int = 10**9
    minimum_out: int = 1
    attempt: int = 1


def order_id(number: int) -> UUID:
    """Return the id of the order with a number."""
    return UUID(int=number)


def instruction(wanted: Wanted) -> Instruction:
    """Lay out the instruction as docs/contracts.md says."""
    pool, source, target = (Pubkey.from_string(key) for key in (wanted.pool, wanted.input_mint, wanted.output_mint))
    data = struct.pack(
        "<B32s32sQQ16sH",
        1,
        bytes(pool),
        bytes(source),
        wanted.amount_in,
        wanted.minimum_out,
        order_id(wanted.number).bytes,
        wanted.attempt,
    )
    accounts = [
        AccountMeta(OWNER.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(pool, is_signer=False, is_writable=True),
        AccountMeta(source, is_signer=False, is_writable=False),
        AccountMeta(target, is_signer=False, is_writable=False),
    ]
    return Instruction(Pubkey.from_string(PROGRAMS[wanted.venue]), data, accounts)


def sign(wanted: Wanted, *, legacy: bool = False) -> str:
    """Sign a swap and return it in base64."""
    blockhash = Hash.from_string(wanted.blockhash)
    if legacy:
        message = Message.new_with_blockhash([instruction(wanted)], OWNER.pubkey(), blockhash)
    else:
        message = MessageV0.try_compile(OWNER.pubkey(), [instruction(wanted)], [], blockhash)
    return encode(VersionedTransaction(message, [OWNER]))


def sign_many(wanted: Wanted, numbers: Iterable[int]) -> list[str]:
    """Sign the same swap for many orders: the order id is written into the bytes, which is ten times as fast."""
    blockhash = Hash.from_string(wanted.blockhash)
    message = MessageV0.try_compile(OWNER.pubkey(), [instruction(wanted)], [], blockhash)
    head, found, tail = to_bytes_versioned(message).partition(order_id(wanted.number).bytes)
    assert found
    bodies = (head + order_id(number).bytes + tail for number in numbers)
    return [b64encode(b"\x01" + bytes(OWNER.sign_message(body)) + body).decode() for body in bodies]


def encode(transaction: VersionedTransaction) -> str:
    """Encode a transaction for the wire."""
    return b64encode(bytes(transaction)).decode()
