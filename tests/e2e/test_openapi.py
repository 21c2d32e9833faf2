"""A smoke run of schemathesis over the OpenAPI document of the running system."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.running_stack import RunningStack, running_stack

KEY = "0d7b6c1e-key"


def explore(stack: RunningStack, *options: str) -> None:
    """Run examples, coverage of the schema's edges and fuzzing, with every check that fits."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{stack.api_url}/openapi.json",
            "--checks=all",
            # JSON Schema cannot say that tokenOut must differ from tokenIn, so some valid-looking orders are refused.
            "--exclude-checks=positive_data_acceptance",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=20",
            "--seed=1",
            "--suppress-health-check=all",
            "--no-color",
            *options,
        ],
        cwd=stack.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in stack.log("api")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run a system that wants keys, and limits their use to what is more than enough here."""
    with running_stack(
        tmp_path_factory.mktemp("guarded"),
        API_KEYS=f"desk:{KEY}",
        RATE_LIMIT_READS="100000/minute",
        RATE_LIMIT_WRITES="100000/minute",
    ) as stack:
        yield stack


def test_every_answer_is_documented_and_none_is_a_server_error(stack: RunningStack) -> None:
    """Without keys, as a newcomer runs it."""
    explore(stack)


def test_keys_are_demanded_wherever_the_document_says_so(guarded: RunningStack) -> None:
    """With a key in force: each operation is also tried without one, and with a wrong one."""
    explore(guarded, f"--header=X-API-Key: {KEY}", f"--header=Authorization: Bearer {KEY}")
