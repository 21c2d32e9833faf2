"""A connection to the model of the database, as far as `engine_common.store` uses one."""

from typing import Any

from simulation.model_database import ModelDatabase
from simulation.model_tables import Parameters


class ModelCursor:
    """The rows that a statement returned, and how many it returned or wrote."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


class ModelConnection:
    """Carries statements out at once."""

    def __init__(self, database: ModelDatabase) -> None:
        self._database = database

    async def execute(
        self, statement: str, parameters: Parameters | None = None, *, prepare: bool | None = None
    ) -> ModelCursor:
        del prepare
        return ModelCursor(*self._database.execute(statement, parameters or {}))
