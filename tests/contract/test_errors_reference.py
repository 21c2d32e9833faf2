"""Every code that a client can meet stands in the reference and in the contract, with what to do about it."""

from pathlib import Path
from typing import Any

import pytest

from engine_api import problems
from engine_api.contract.document import build
from engine_api.problem_reference import EXPLANATIONS
from engine_api.routes.table import ROUTES
from engine_common.errors import Verdict, verdicts

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference/errors.md"


def rows(generated: str) -> dict[str, list[str]]:
    """Return the cells of each row of a generated table, by its code."""
    table = REFERENCE.read_text().split(f"<!-- generated: {generated} -->")[1].split("<!-- end -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0].strip("`"): row for row in cells}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """Return the schemas of the contract."""
    return build(ROUTES, keys_required=True)["components"]["schemas"]


@pytest.mark.parametrize("verdict", verdicts(), ids=lambda verdict: verdict.code)
def test_every_error_code_of_an_order_is_explained(verdict: type[Verdict]) -> None:
    """Its meaning, whether the engine tries again, and what the client does."""
    _, meaning, retryable, advice = rows("order-errors")[verdict.code]
    assert meaning.endswith(".")
    assert advice.endswith(".")
    assert retryable == ("yes" if verdict.retryable else "no")


@pytest.mark.parametrize("kind", problems.KINDS, ids=lambda kind: kind.code)
def test_every_code_of_a_problem_is_explained(kind: problems.Kind) -> None:
    """With the status that it has over HTTP."""
    _, status, meaning, retryable, advice = rows("problem-reference")[kind.code]
    assert (status, retryable) == (str(kind.status), "yes" if kind.retryable else "no")
    assert meaning.endswith(".")
    assert advice.endswith(".")


def test_no_code_is_explained_that_is_none() -> None:
    """Nor is one missing."""
    assert set(rows("order-errors")) == {verdict.code for verdict in verdicts()}
    assert set(rows("problem-reference")) == set(EXPLANATIONS) == {kind.code for kind in problems.KINDS}


def test_codes_are_unique() -> None:
    """A client tells errors apart by them."""
    assert len({verdict.code for verdict in verdicts()}) == len(verdicts())
    assert len({kind.code for kind in problems.KINDS}) == len(problems.KINDS)


def test_the_contract_lists_the_codes_as_enums(schemas: dict[str, Any]) -> None:
    """A generated client has a type for each, and an order refers to it."""
    assert schemas["ErrorCode"]["enum"] == sorted(verdict.code for verdict in verdicts())
    assert schemas["ProblemCode"]["enum"] == sorted(kind.code for kind in problems.KINDS)
    assert {"$ref": "#/components/schemas/ErrorCode"} in schemas["OrderDocument"]["properties"]["errorCode"]["anyOf"]
    assert schemas["Problem"]["properties"]["code"]["$ref"] == "#/components/schemas/ProblemCode"


def test_nothing_that_the_engine_stores_as_an_error_code_is_missing() -> None:
    """All codes are those of the classes: no text of the sources makes one by itself."""
    known = {verdict.code for verdict in verdicts()}
    for directory in ("libs", "services"):
        for source in (ROOT / directory).rglob("*.py"):
            for line in source.read_text().splitlines():
                if 'error_code="' in line or '"errorCode": "' in line:
                    literal = line.split('error_code="')[-1].split('"errorCode": "')[-1].partition('"')[0]
                    assert literal in known, f"{source}: {line.strip()}"
