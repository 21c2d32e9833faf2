"""The transaction of an attempt, byte for byte as `docs/contracts.md` lays it out."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine_common.orders import Order
from engine_common.tokens import MAX_BASE_UNITS, TOKENS
from engine_worker.dex import VENUES
from engine_worker.ports import Blockhash
from engine_worker.swap import WalletSigner
from support.orders import POOL, stored_order

WALLET = Keypair.from_seed(bytes(range(32)))
PROGRAMS = {venue.name: venue.program_id for venue in VENUES}
BLOCKHASH = Blockhash(str(Pubkey.from_bytes(bytes([7] * 32))), 4_242)
SIGNER = WalletSigner(WALLET, PROGRAMS)


def routed(**changes: object) -> Order:
    return stored_order(**({"venue": "raydium", "pool": POOL, "effective_min_amount_out": 221_798_437} | changes))


def test_the_instruction_is_laid_out_as_the_contract_says() -> None:
    """99 bytes, little-endian: version, pool, input mint, amount in, minimum out, order id, attempt."""
    order_id = UUID("01980000-1234-7abc-8def-0123456789ab")
    swap = SIGNER.sign(routed(id=order_id, attempt=0x0102, amount_in=1_500_000_000), BLOCKHASH)
    message = VersionedTransaction.from_bytes(swap.transaction).message
    (instruction,) = message.instructions
    data = bytes(instruction.data)
    assert len(data) == 99
    assert data[0] == 1
    assert data[1:33] == bytes(Pubkey.from_string(POOL))
    assert data[33:65] == bytes(Pubkey.from_string(TOKENS["SOL"].mint))
    assert int.from_bytes(data[65:73], "little") == 1_500_000_000
    assert int.from_bytes(data[73:81], "little") == 221_798_437
    assert data[81:97] == order_id.bytes
    assert data[97:99] == b"\x02\x01"


@pytest.mark.parametrize("venue", PROGRAMS)
def test_the_accounts_are_owner_pool_and_the_two_mints(venue: str) -> None:
    """The owner signs and pays, the pool is written, the mints are read, and the program is the venue's."""
    swap = SIGNER.sign(routed(venue=venue), BLOCKHASH)
    message = VersionedTransaction.from_bytes(swap.transaction).message
    (instruction,) = message.instructions
    keys = [str(message.account_keys[i]) for i in bytes(instruction.accounts)]
    assert keys == [str(WALLET.pubkey()), POOL, TOKENS["SOL"].mint, TOKENS["USDC"].mint]
    assert str(message.account_keys[instruction.program_id_index]) == PROGRAMS[venue]
    read_only_from = len(message.account_keys) - message.header.num_readonly_unsigned_accounts
    assert message.header.num_readonly_signed_accounts == 0
    roles = [(message.is_signer(i), i < read_only_from) for i in bytes(instruction.accounts)]
    assert roles == [(True, True), (False, True), (False, False), (False, False)]
    assert str(message.account_keys[0]) == SIGNER.owner, "the fee payer comes first"
    assert str(message.recent_blockhash) == BLOCKHASH.hash


def test_the_signature_is_the_attempts_id_and_verifies() -> None:
    """It is known before anything is sent, and the height after which the swap is dead is kept with it."""
    swap = SIGNER.sign(routed(), BLOCKHASH)
    transaction = VersionedTransaction.from_bytes(swap.transaction)
    assert transaction.verify_with_results() == [True]
    assert [str(signature) for signature in transaction.signatures] == [swap.signature]
    assert swap.last_valid_block_height == 4_242


@given(
    amount_in=st.integers(1, MAX_BASE_UNITS),
    floor=st.integers(0, MAX_BASE_UNITS),
    attempt=st.integers(1, 65_535),
    order_id=st.uuids(),
)
def test_any_order_can_be_signed_and_read_back(amount_in: int, floor: int, attempt: int, order_id: UUID) -> None:
    """The whole range of the columns fits the layout."""
    order = routed(amount_in=amount_in, effective_min_amount_out=floor, attempt=attempt, id=order_id)
    data = bytes(
        VersionedTransaction.from_bytes(SIGNER.sign(order, BLOCKHASH).transaction).message.instructions[0].data
    )
    found = (int.from_bytes(data[65:73], "little"), int.from_bytes(data[73:81], "little"), UUID(bytes=data[81:97]))
    assert found == (amount_in, floor, order_id)


def test_no_two_attempts_have_equal_bytes_and_one_attempt_always_has_the_same() -> None:
    """Ed25519 is deterministic, so order id and attempt are what makes signatures differ."""
    order = routed()
    first, again = SIGNER.sign(order, BLOCKHASH), SIGNER.sign(order, BLOCKHASH)
    assert first == again
    others = {SIGNER.sign(routed(id=order.id, attempt=attempt), BLOCKHASH).signature for attempt in range(2, 20)}
    others |= {SIGNER.sign(routed(), BLOCKHASH).signature for _ in range(20)}
    assert len(others | {first.signature}) == 39


@pytest.mark.parametrize("missing", ["venue", "pool", "effective_min_amount_out"])
def test_an_order_without_a_route_is_never_signed(missing: str) -> None:
    """There is no swap without a floor."""
    with pytest.raises(ValueError, match="has no route"):
        SIGNER.sign(routed(**{missing: None}), BLOCKHASH)
