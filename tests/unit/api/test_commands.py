"""What clients hear of transitions that may or may not have been stored."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from engine_api.commands import Commands
from engine_api.problems import Refusal
from engine_common.orders import Order
from engine_common.store.door import Move
from support.orders import stored_order


class Orders:
    """Can be read once."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.reads = 0

    async def read(self, account: str, order_id: UUID) -> Order:
        assert (account, order_id) == ("default", self.order.id)
        self.reads += 1
        if self.reads > 1:
            raise psycopg.OperationalError("the server closed the connection")
        return self.order


class LostReplies:
    """Carries moves out, and loses the reply: repeated, the move finds nothing to do."""

    async def submit(self, move: Move, *, within_s: float) -> None:
        del move, within_s


async def test_when_the_order_cannot_be_read_after_a_move_the_outcome_is_unknown() -> None:
    """The move that found nothing may have been one's own that landed: "nothing was stored" would be a lie."""
    orders: Any = Orders(stored_order())
    moves: Any = LostReplies()
    nobody: Any = None
    commands = Commands(orders, moves, nobody, nobody, nobody, 2.0)
    with pytest.raises(Refusal) as raised:
        await commands.cancel("default", orders.order.id)
    assert raised.value.kind.code == "outcome_unknown"
    assert raised.value.retryable
    assert raised.value.members == {"orderId": str(orders.order.id)}
