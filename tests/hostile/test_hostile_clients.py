"""What `make hostile` does at length, in small: a seeded thousand, a little crowd, schemathesis once through."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.crowding import Crowd, crowd_in
from hostile.fuzzing import FAMILIES, fuzz
from hostile.schema_run import run_schemathesis
from hostile.victim import Victim
from support.running_stack import running_stack

SEED = 7
REQUESTS = 1000


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """Run a system for all tests of the module."""
    with tempfile.TemporaryDirectory() as root, running_stack(Path(root)):
        yield Victim(Path(root))


def test_a_thousand_malformed_requests_and_frames_harm_nobody(victim: Victim) -> None:
    """Every answer is an answer or a problem document, the log is silent, and a normal client is served meanwhile."""
    findings = asyncio.run(fuzz(victim, seed=SEED, requests=REQUESTS, headers={}))
    assert findings.violations == []
    assert findings.spikes == []
    assert findings.performed == REQUESTS
    assert len(findings.families) == len(set(FAMILIES))
    assert findings.bystander.finished > 0


def test_a_crowd_that_does_not_read_costs_the_readers_nothing(victim: Victim) -> None:
    """Those who never read are sent away; everybody else hears each event once, and the memory is bounded."""
    crowd = Crowd(idle=200, mute=20, readers=5, wallets=1, orders_per_s=40, seconds=3)
    outcome = asyncio.run(crowd_in(victim, crowd, {}, memory_limit_mb=300))
    assert outcome.faults == []
    assert len(outcome.crowded.latencies) > 0


def test_every_answer_is_documented_and_none_is_a_server_error(victim: Victim) -> None:
    """All checks in all phases, following the links of the document from operation to operation."""
    outcome = run_schemathesis(victim, seconds=None, seed=1, headers={}, max_examples=8)
    assert outcome.faults == [], outcome.output
    assert "Stateful" in outcome.output
