"""Moves orders through the door and publishes what happened, as a worker does."""

from typing import Any
from uuid import UUID

from engine_common.live import Publisher
from engine_common.orders import Event
from engine_common.store import door
from engine_common.store.pool import Pool
from engine_common.transitions import Status
from support.orders import POOL, read, signed_swap

ROUTING = (
    '{"chosen":"raydium","reason":"best output after fees","quotes":[{"venue":"raydium","amountOut":"222.913001",'
    '"feeAmount":"0.00375","priceImpactPct":"0.012","latencyMs":203,"error":null}]}'
)

# What a worker writes beside the new state.
_CHANGES: dict[Status, dict[str, Any]] = {
    Status.BUILDING: {"venue": "raydium", "pool": POOL, "routing": ROUTING, "effective_min_amount_out": 221_798_437},
    Status.CONFIRMED: {"amount_out": 222_913_001, "outcome": "confirmed"},
    Status.FAILED: {"error_code": "no_liquidity", "error_reason": "no venue", "outcome": "no_liquidity"},
}

TO_CONFIRMED = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED)


class WorkerDouble:
    """A worker as far as the api can see one."""

    def __init__(self, pool: Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher

    async def move(self, order_id: UUID, *targets: Status, publish: bool = True, **changes: Any) -> list[Event]:
        """Bring the order through the states, and tell unless it is to be left out."""
        return [await self._move(order_id, target, publish=publish, **changes) for target in targets]

    async def _move(self, order_id: UUID, target: Status, *, publish: bool, **changes: Any) -> Event:
        async with self._pool.connection() as connection:
            order = await read(connection, order_id)
            written = _CHANGES.get(target, {}) | changes
            if target is Status.SUBMITTED:
                swap = signed_swap()
                written = {"swap": swap, "data": {"txHash": swap.signature}} | written
            if target is Status.CONFIRMED:
                data = {"txHash": order.tx_hash, "executionPrice": "148.608667333", "amountOut": "222.913001"}
                written = {"data": data} | written
            move = door.from_order(order, target, **written)
            (moved,) = await door.move(connection, [move])
        assert moved is not None
        event = move.event(moved)
        if publish:
            self.publish(event, order.user_wallet)
        return event

    def publish(self, event: Event, wallet: str) -> None:
        """Tell the sockets of the order and of its wallet."""
        self._publisher.publish(event, "default", wallet)
