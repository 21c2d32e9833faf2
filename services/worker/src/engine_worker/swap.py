"""The transaction of an attempt: one swap instruction, laid out as `docs/contracts.md` says, signed by the wallet."""

import struct
from collections.abc import Mapping

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine_common.orders import Order
from engine_common.store.door import SignedSwap
from engine_worker.ports import Blockhash

_VERSION = 1
# version, pool, input mint, amount in, minimum out, order id, attempt
_LAYOUT = struct.Struct("<B32s32sQQ16sH")


class WalletSigner:
    """Signs swaps with the engine's wallet, whose address is `owner`; `programs` maps venues' names to program ids."""

    def __init__(self, wallet: Keypair, programs: Mapping[str, str]) -> None:
        self._wallet = wallet
        self._owner = wallet.pubkey()
        self.owner = str(self._owner)
        self._programs = {name: Pubkey.from_string(program) for name, program in programs.items()}

    def sign(self, order: Order, blockhash: Blockhash) -> SignedSwap:
        """Return the signed swap of the order's current attempt.

        Ed25519 is deterministic, so order id and attempt in the data make the bytes of every attempt different.
        """
        if order.venue is None or order.pool is None or order.effective_min_amount_out is None:
            raise ValueError(f"order {order.id} has no route to build a swap from")
        pool = Pubkey.from_string(order.pool)
        input_mint = Pubkey.from_string(order.input_token.mint)
        output_mint = Pubkey.from_string(order.output_token.mint)
        data = _LAYOUT.pack(
            _VERSION,
            bytes(pool),
            bytes(input_mint),
            order.amount_in,
            order.effective_min_amount_out,
            order.id.bytes,
            order.attempt,
        )
        accounts = [
            AccountMeta(self._owner, is_signer=True, is_writable=True),
            AccountMeta(pool, is_signer=False, is_writable=True),
            AccountMeta(input_mint, is_signer=False, is_writable=False),
            AccountMeta(output_mint, is_signer=False, is_writable=False),
        ]
        instruction = Instruction(self._programs[order.venue], data, accounts)
        message = Message.new_with_blockhash([instruction], self._owner, Hash.from_string(blockhash.hash))
        # The same bytes as VersionedTransaction(message, [wallet]), which takes twice as long to make them.
        signature = self._wallet.sign_message(bytes(message))
        transaction = VersionedTransaction.populate(message, [signature])
        return SignedSwap(str(signature), bytes(transaction), blockhash.last_valid_block_height, self.owner)

    def signer_of(self, transaction: bytes) -> str:
        """Return the address of the wallet that signed the transaction: its fee payer, the first of its accounts."""
        return str(VersionedTransaction.from_bytes(transaction).message.account_keys[0])
