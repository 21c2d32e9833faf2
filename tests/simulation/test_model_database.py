"""The model of the database does what PostgreSQL does, operation by operation: so the simulation runs on the truth."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from engine_common.store.pool import Connection, open_pool
from simulation.model_database import ModelDatabase
from simulation.model_tables import OrderRow, Parameters
from simulation.store_machine import StoreMachine

# For a longer search: SIMULATION_STORE_EXAMPLES=2000 make test ARGS=tests/simulation/test_model_database.py
_EXAMPLES = int(os.environ.get("SIMULATION_STORE_EXAMPLES", "60"))


@pytest.fixture
def machine(database_url: str) -> Iterator[type[StoreMachine]]:
    with asyncio.Runner() as runner:
        pool = open_pool(database_url, size=1, name="store machine")

        async def connect() -> Connection:
            await pool.open()
            return await pool.getconn()

        connection = runner.run(connect())
        yield type("Machine", (StoreMachine,), {"connection": connection, "runner": runner})

        async def close() -> None:
            await pool.putconn(connection)
            await pool.close()

        runner.run(close())


def search(machine: type[StoreMachine], **limits: Any) -> None:
    given = {"deadline": None, "stateful_step_count": 40, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(machine, settings=settings(**given, **limits))


@pytest.mark.timeout(3_600 if _EXAMPLES > 60 else 120)
def test_the_model_does_what_postgresql_does(machine: type[StoreMachine]) -> None:
    """Creating, moving, claiming, sweeping, releasing and reading: same answers, same refusals, same tables."""
    search(machine, max_examples=_EXAMPLES)


class WithoutEpoch(ModelDatabase):
    """Compares version and status only."""

    def fits(self, row: OrderRow, move: Parameters) -> bool:
        return (row.version, row.status) == (move["version"], move["source"])


class StealsFromTheLiving(ModelDatabase):
    """Claims what a worker owns whose heart beats."""

    def recoverable(self, row: OrderRow, lease_s: float) -> bool:
        return super().recoverable(row, -lease_s)


class ReleaseKeepsTheEpoch(ModelDatabase):
    """Fences nothing that a worker still has on its way when it releases."""

    def _release(self, parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        before = {order_id: row.lease_epoch for order_id, row in self.orders.items()}
        answer = super()._release(parameters)
        for order_id, epoch in before.items():
            self.orders[order_id].lease_epoch = epoch
        return answer


class RewritesAttempts(ModelDatabase):
    """Lets an attempt end twice."""

    def _check_attempts(self, row: OrderRow, move: Parameters, signing: set[str]) -> None:
        super()._check_attempts(row, {**move, "outcome": None}, signing)


@pytest.mark.parametrize("wrong", [WithoutEpoch, StealsFromTheLiving, ReleaseKeepsTheEpoch, RewritesAttempts])
def test_a_model_that_is_wrong_in_one_rule_is_told_from_postgresql(
    machine: type[StoreMachine], wrong: type[ModelDatabase]
) -> None:
    """The comparison reaches the rules that exactness rests on."""
    machine.model_of = wrong
    with pytest.raises(AssertionError):
        search(machine, max_examples=300, derandomize=True, database=None, phases=[Phase.generate])
