"""Token balances before and after a swap, as getTransaction shows them."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from solders.pubkey import Pubkey

from mockdex.landings import FEE_LAMPORTS, error_json
from mockdex.transactions import swap_of

if TYPE_CHECKING:
    from mockdex.landings import Landing
    from mockdex.markets import Markets
    from mockdex.tokens import Token

_INPUT_ACCOUNT, _OUTPUT_ACCOUNT = 2, 3


def transaction_json(landing: Landing, markets: Markets) -> dict[str, Any]:
    """Render a value of getTransaction."""
    swap = swap_of(landing.record, markets)
    source, target = (swap.market.x, swap.market.y) if swap.x_to_y else (swap.market.y, swap.market.x)
    owner = str(Pubkey.from_bytes(swap.owner))
    paid, received = (swap.amount_in, int(landing.amount_out)) if landing.amount_out is not None else (0, 0)
    # The mock keeps no balances: wallets hold what they need and something that a reader has to subtract.
    held = int.from_bytes(blake2b(landing.record, digest_size=4).digest())
    before = (swap.amount_in + held, held)
    after = (before[0] - paid, before[1] + received)
    return {
        "slot": landing.slot,
        "blockTime": landing.block_time,
        "meta": {
            "err": error_json(landing.error),
            "fee": FEE_LAMPORTS,
            "preTokenBalances": _balances(owner, source, target, before),
            "postTokenBalances": _balances(owner, source, target, after),
        },
        "transaction": {"signatures": [landing.signature]},
    }


def _balances(owner: str, source: Token, target: Token, held: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        _balance(_INPUT_ACCOUNT, owner, source, held[0]),
        _balance(_OUTPUT_ACCOUNT, owner, target, held[1]),
    ]


def _balance(account: int, owner: str, token: Token, amount: int) -> dict[str, Any]:
    return {
        "accountIndex": account,
        "mint": token.mint,
        "owner": owner,
        "uiTokenAmount": {
            "amount": str(amount),
            "decimals": token.decimals,
            "uiAmountString": in_units(amount, token.decimals),
        },
    }


def in_units(amount: int, decimals: int) -> str:
    """Write base units as whole tokens, without trailing zeros."""
    whole, part = divmod(amount, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0") if part else str(whole)
