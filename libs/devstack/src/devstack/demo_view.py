"""What the demo shows: live states, the choice of a route, with colours on a terminal and as plain lines elsewhere."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devstack.demo_orders import FollowedOrder

_PATH = ("queued", "routing", "building", "submitted", "confirmed")
_WIDE = 100  # characters, from which on there is room for everything
_COLOURS = {"confirmed": "green", "failed": "red", "cancelled": "yellow"}


class LiveStates:
    """The states of all orders: a table that changes in place, or a line for every change."""

    def __init__(self, console: Console, orders: Sequence[FollowedOrder]) -> None:
        self._console = console
        self._orders = orders
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> "LiveStates":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._console.print(self._table())

    def changed(self, order: FollowedOrder) -> None:
        """Show that an order has moved; a terminal shows it with its next refresh."""
        if not self._console.is_terminal:
            again = f", attempt {order.attempt}" if order.attempt > 1 else ""
            line = f"{order.seconds:5.1f} s  {order.short_id}  {_swap(order):<26} {order.status}{again}"
            self._console.print(line)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        wide = self._console.width >= _WIDE
        for name in ("order", *(("wallet",) if wide else ()), "swap", "state"):
            table.add_column(name, no_wrap=True)
        table.add_column("venue", no_wrap=True, min_width=7)
        table.add_column("received", no_wrap=True, justify="right", min_width=15)
        table.add_column("s", no_wrap=True, justify="right", min_width=4)
        for order in self._orders:
            wallet = (order.wallet,) if wide else ()
            seconds = f"{order.seconds:.1f}"
            table.add_row(order.short_id, *wallet, _swap(order), _state(order), order.venue, order.amount_out, seconds)
        return table


def _swap(order: FollowedOrder) -> str:
    return f"{order.amount_in} {order.token_in} → {order.token_out}"


def _state(order: FollowedOrder) -> Text:
    colour = _COLOURS.get(order.status, "cyan")
    reached = _PATH.index(order.status) + 1 if order.status in _PATH else 0
    dots = "●" * reached + "○" * (len(_PATH) - reached) if order.status in _PATH else "✗" * len(_PATH)
    return Text(f"{dots} {order.status}", style=colour)


def route_table(order: Mapping[str, Any]) -> Table:
    """Return the quotes of all venues for an order, the chosen one marked."""
    routing: Mapping[str, Any] = order["routing"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("venue", no_wrap=True)
    for name in (f"{order['tokenOut']} out", f"{order['tokenIn']} fee", "price impact", "answered in"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for quote in routing["quotes"]:
        chosen = quote["venue"] == routing["chosen"]
        remark = "◀ chosen" if chosen else quote["error"] or ""
        table.add_row(quote["venue"], *_numbers(quote), remark, style="green" if chosen else "")
    return table


def why(order: Mapping[str, Any]) -> str:
    """Say why the chosen venue won, and by how much."""
    routing: Mapping[str, Any] = order["routing"]
    outputs = {quote["venue"]: Decimal(quote["amountOut"]) for quote in routing["quotes"] if quote["error"] is None}
    best = outputs.pop(routing["chosen"])
    margins = [f", {best - output:f} {order['tokenOut']} more than {venue}" for venue, output in outputs.items()]
    return f"{routing['chosen']}: {routing['reason']}{''.join(margins)}"


def _numbers(quote: Mapping[str, Any]) -> list[str]:
    if quote["error"] is not None:
        return ["", "", "", ""]
    return [quote["amountOut"], quote["feeAmount"], f"{quote['priceImpactPct']} %", f"{quote['latencyMs']} ms"]


def working(console: Console, what: str) -> AbstractContextManager[object]:
    """Return a context that shows a spinner on a terminal and says `what` elsewhere."""
    if console.is_terminal:
        return console.status(what)
    console.print(what)
    return nullcontext()
