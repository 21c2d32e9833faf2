"""Schemathesis over a system that wants keys; `tests/hostile` does the same without."""

from hostile.schema_run import run_schemathesis
from hostile.victim import attacked

KEY = "0d7b6c1e-key"


def test_keys_are_demanded_wherever_the_document_says_so() -> None:
    """With a key in force: each operation is also tried without one, and with a wrong one."""
    limits = {"RATE_LIMIT_READS": "100000/minute", "RATE_LIMIT_WRITES": "100000/minute"}
    with attacked(None, API_KEYS=f"desk:{KEY}", **limits) as victim:
        headers = {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"}
        outcome = run_schemathesis(
            victim, seconds=None, seed=1, headers=headers, max_examples=10, phases="examples,coverage,fuzzing"
        )
    assert outcome.faults == [], outcome.output
