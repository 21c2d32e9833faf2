"""The model of the database as the oracle watches it: who wrote what, under which lease, and what was refused."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine_common.transitions import TERMINAL
from simulation.model_database import ModelDatabase
from simulation.model_tables import OrderRow, Parameters
from simulation.wire import moment

if TYPE_CHECKING:
    from simulation.world import World


class ObservedDatabase(ModelDatabase):
    """Tells a world of every change."""

    def __init__(self, world: "World") -> None:
        super().__init__(lambda: moment(world.loop.time() + world.faults.clock_offset(world.loop.time())))
        self._world = world

    def on_missed(self, row: OrderRow | None, move: Parameters) -> None:
        why = "unknown" if row is None else _why_missed(row, move)
        self._world.counts[f"move fenced: {why}"] += 1
        self._tell(UUID(move["id"]), f"cannot move it {move['source']} -> {move['target']}: {why}")

    def on_moved(self, row: OrderRow, move: Parameters) -> None:
        # The lease under which an order is written must be the one that it has, whatever the statement compares.
        if move["epoch"] != row.lease_epoch:
            self._world.violate(
                "superseded write",
                f"{self._world.acting} wrote order {self._world.number(row.id)} {move['source']} -> {move['target']} "
                f"under lease {move['epoch']}, which lease {row.lease_epoch} had superseded",
            )
        written = f"commits {move['source']} -> {move['target']} (seq {row.version}, attempt {row.attempt})"
        self._tell(row.id, written + (f": {move['outcome']}" if move.get("outcome") else ""))
        if not move["noted"]:
            self._world.on_status(row)
        if row.status in TERMINAL:
            self._world.on_finished()

    def on_claimed(self, row: OrderRow, former: UUID | None) -> None:
        self._world.counts["claim: first" if row.lease_epoch == 1 else f"claim: recovered in {row.status}"] += 1
        if former == row.worker_id:
            self._world.counts["claim: of what the claimer owns, and had lost by its heartbeat"] += 1
        elif former is not None and self._world.lives(former):
            self._world.counts["claim: from a worker that still lives"] += 1
        self._tell(row.id, f"claims it in {row.status} (lease {row.lease_epoch}, version {row.version})")

    def _release(self, parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        rows, count = super()._release(parameters)
        self._world.counts["released"] += count
        return rows, count

    def _tell(self, order_id: UUID, text: str) -> None:
        if self._world.history is not None:
            self._world.tell(self._world.acting, f"order {self._world.number(order_id)}: {text}")


def _why_missed(row: OrderRow, move: Parameters) -> str:
    if row.finished_at is not None:
        return "it is finished"
    if row.lease_epoch != move["epoch"]:
        return "by the epoch alone" if row.version == move["version"] else "by epoch and version"
    return "by version or status"
