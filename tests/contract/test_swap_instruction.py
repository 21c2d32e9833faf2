"""What the worker signs is what the mock DEX accepts and executes."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair

from engine_common.store.door import SignedSwap
from engine_common.tokens import MAX_BASE_UNITS, TOKENS
from engine_worker.dex import VENUES
from engine_worker.ports import Blockhash
from engine_worker.swap import WalletSigner
from mockdex import curves, transactions
from mockdex.markets import Markets
from mockdex.prices import PriceWalk
from support.orders import stored_order

WALLET = Keypair.from_seed(bytes(range(32)))
SIGNER = WalletSigner(WALLET, {venue.name: venue.program_id for venue in VENUES})
BLOCKHASH = Blockhash(str(Hash.new_unique()), 150)
MARKETS = Markets(PriceWalk(7), 400)


def swap_of(signed: SignedSwap) -> transactions.Swap:
    """Return what the mock DEX reads of a transaction, once it has verified it."""
    opened = transactions.open_transaction(base64.b64encode(signed.transaction).decode(), MARKETS)
    assert opened.signature == signed.signature
    assert str(Hash.from_bytes(opened.blockhash)) == BLOCKHASH.hash
    return transactions.swap_of(opened.record, MARKETS)


def pool_of(venue: str, token_in: str, token_out: str) -> str:
    for market in MARKETS.by_key.values():
        if market.venue.name == venue and {market.x.symbol, market.y.symbol} == {token_in, token_out}:
            return market.address
    raise AssertionError(f"{venue} has no pool for {token_in} and {token_out}")


def test_both_sides_know_the_same_venues_and_programs() -> None:
    """A pool belongs to its venue's program."""
    ours = {(venue.name, venue.program_id) for venue in VENUES}
    assert ours == {(venue.name, venue.program) for venue in curves.VENUES}


@given(
    venue=st.sampled_from([venue.name for venue in VENUES]),
    pair=st.permutations(sorted(TOKENS)).map(lambda names: (names[0], names[1])),
    amount_in=st.integers(1, MAX_BASE_UNITS),
    floor=st.integers(0, MAX_BASE_UNITS),
    attempt=st.integers(1, 65_535),
    order_id=st.uuids(),
)
def test_the_mock_dex_executes_exactly_what_the_order_says(
    venue: str, pair: tuple[str, str], amount_in: int, floor: int, attempt: int, order_id: UUID
) -> None:
    """Every pair in both directions, at each venue: pool, mints, amounts, order id, attempt and owner."""
    order = stored_order(
        id=order_id,
        token_in=pair[0],
        token_out=pair[1],
        amount_in=amount_in,
        attempt=attempt,
        effective_min_amount_out=floor,
        venue=venue,
        pool=pool_of(venue, *pair),
    )
    swap = swap_of(SIGNER.sign(order, BLOCKHASH))
    assert (swap.market.venue.name, swap.market.address) == (venue, order.pool)
    assert (swap.input_mint, swap.output_mint) == (TOKENS[pair[0]].mint, TOKENS[pair[1]].mint)
    assert (swap.amount_in, swap.minimum_out) == (amount_in, floor)
    assert (swap.order_id, swap.attempt, swap.owner) == (str(order_id), attempt, bytes(WALLET.pubkey()))


def test_a_transaction_that_was_tampered_with_is_not_executed() -> None:
    """The signature covers every byte of the instruction."""
    order = stored_order(venue="raydium", pool=pool_of("raydium", "SOL", "USDC"), effective_min_amount_out=1)
    signed = SIGNER.sign(order, BLOCKHASH)
    other = order.amount_in.to_bytes(8, "little"), (order.amount_in + 1).to_bytes(8, "little")
    forged = replace(signed, transaction=signed.transaction.replace(*other))
    with pytest.raises(transactions.SignatureInvalid):
        swap_of(forged)
