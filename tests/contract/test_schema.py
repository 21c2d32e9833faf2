"""The database's own words are those of the code: the schema cannot import an enum, so this compares them."""

import re
from collections.abc import Iterable

import pytest

from engine_common.orders import EventType, OrderType
from engine_common.store import statements
from engine_common.store.pool import Pool
from engine_common.transitions import TERMINAL, Status


def words(text: str) -> set[str]:
    return set(re.findall(r"'([A-Za-z_]+)'", text))


@pytest.mark.parametrize(
    ("constraint", "enum"),
    [("orders_status_check", Status), ("order_events_type_check", EventType), ("orders_type_check", OrderType)],
)
async def test_a_check_constraint_allows_exactly_the_members_of_its_enum(
    shared_pool: Pool, constraint: str, enum: Iterable[str]
) -> None:
    """A state that one side does not know would be refused, or would not be read."""
    (definition,) = await definitions(shared_pool, "conname = %s", constraint)
    assert words(definition) == {str(member) for member in enum}


async def test_an_order_has_an_end_exactly_in_the_terminal_states(shared_pool: Pool) -> None:
    """In the constraint, in the statement that moves, and in the table of transitions."""
    found = [text for text in await definitions(shared_pool, "contype = %s", "c") if "finished_at IS NOT NULL" in text]
    assert [words(text) for text in found] == [set(TERMINAL)]
    ended = re.search(r"finished_at = CASE WHEN i\.goal IN \((.*?)\)", statements.MOVE)
    assert ended is not None
    assert words(ended[1]) == set(TERMINAL)


async def definitions(pool: Pool, where: str, value: str) -> list[str]:
    query = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE {where}"  # noqa: S608 - our own text
    async with pool.connection() as connection:
        return [row[0] for row in await (await connection.execute(query, (value,))).fetchall()]
