import io
from typing import Any

from rich.console import Console

from devstack.demo_orders import FollowedOrder, demo_orders
from devstack.demo_view import LiveStates, route_table, why
from engine_common import tokens

SNAPSHOT: dict[str, Any] = {
    "tokenIn": "SOL",
    "tokenOut": "USDC",
    "routing": {
        "chosen": "meteora",
        "reason": "best output after fees",
        "quotes": [
            {"venue": "raydium", "amountOut": "219.1", "feeAmount": "0.003", "priceImpactPct": "0.012"}
            | {"latencyMs": 203, "error": None},
            {"venue": "meteora", "amountOut": "222.913001", "feeAmount": "0.0015", "priceImpactPct": "0.004"}
            | {"latencyMs": 211, "error": None},
        ],
    },
}


def event(seq: int, status: str, **data: Any) -> dict[str, Any]:
    return {"type": "status", "seq": seq, "status": status, "attempt": 1, "data": data}


def test_an_order_is_what_its_events_say() -> None:
    """Venue, output and end are taken over as they come."""
    order = FollowedOrder("w", "SOL", "USDC", "1")
    order.hear(event(1, "queued"))
    order.hear(event(2, "routing"))
    order.hear(event(3, "building", venue="raydium"))
    order.hear(event(4, "submitted", txHash="x"))
    assert (order.status, order.venue, order.seq, order.finished) == ("submitted", "raydium", 4, False)
    order.hear(event(5, "confirmed", amountOut="148.6"))
    assert (order.amount_out, order.finished, order.error) == ("148.6", True, "")


def test_an_order_that_failed_says_why() -> None:
    """The last error is kept; one that a retry made up for is not."""
    order = FollowedOrder("w", "SOL", "USDC", "1")
    order.hear({**event(3, "routing", errorReason="too little"), "type": "retrying", "attempt": 2})
    assert (order.attempt, order.error) == (2, "too little")
    order.hear(event(4, "failed", errorReason="still too little"))
    assert (order.error, order.finished) == ("still too little", True)


def test_the_orders_of_the_demo_name_tokens_that_exist_in_amounts_that_they_can_have() -> None:
    """And they are of several pairs, sizes and wallets."""
    orders = demo_orders()
    for order in orders:
        token = tokens.find(order.token_in)
        assert token
        assert tokens.find(order.token_out)
        assert tokens.to_base_units(tokens.Decimal(order.amount_in), token) > 0
    assert len({(order.token_in, order.token_out) for order in orders}) >= 5
    assert len({order.wallet for order in orders}) >= 3


def test_the_route_is_shown_with_every_quote_and_the_reason() -> None:
    """Both quotes, and by how much the chosen one is better."""
    shown = render(route_table(SNAPSHOT))
    assert "219.1" in shown
    assert "222.913001" in shown
    assert [line.split()[0] for line in shown.splitlines() if "chosen" in line] == ["meteora"]
    assert why(SNAPSHOT) == "meteora: best output after fees, 3.813001 USDC more than raydium"


def test_a_venue_without_an_answer_is_shown_with_its_error() -> None:
    """The other one won by being there."""
    silent = {"venue": "raydium", "error": "timeout"}
    snapshot = {**SNAPSHOT, "routing": {**SNAPSHOT["routing"], "quotes": [silent, SNAPSHOT["routing"]["quotes"][1]]}}
    assert "timeout" in render(route_table(snapshot))
    assert why(snapshot) == "meteora: best output after fees"


def test_without_a_terminal_every_change_is_a_plain_line() -> None:
    """A log of the demo can be read."""
    order = FollowedOrder("w", "SOL", "USDC", "1", order_id="0198aaaa-0000-7000-8000-000000000001")
    console = Console(file=io.StringIO(), width=120)
    with LiveStates(console, [order]) as states:
        order.hear(event(1, "queued"))
        states.changed(order)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert lines[0].split() == ["0.0", "s", "00000001", "1", "SOL", "→", "USDC", "queued"]
    assert "●○○○○ queued" in lines[-1]


def render(what: object) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
