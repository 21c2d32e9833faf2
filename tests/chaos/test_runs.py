"""A minute and a half of chaos: fixed seeds, both topologies, the faults that earlier engines did not survive."""

import logging
from pathlib import Path

import pytest
import uvloop

from chaos.kinds import Topology, chosen
from chaos.report import Outcome, lines
from chaos.run import Options, run
from chaos.schedule import draw

log = logging.getLogger(__name__)

RATE = 15.0
DURATION_S = 20.0
IMPORTANT = (
    "kill-*",
    "outlast-lease-worker",
    "terminate-worker",
    "postgres-crash",
    "postgres-hang-up",
    "valkey-crash",
    "valkey-flush",
    "net-swallow-worker-postgres",
    "net-tear-*",
    "dex-reply-lost",
    "dex-drop",
    "dex-late-landing",
    "dex-stale-status",
)


def outcome_of(root: Path, seed: int, topology: Topology) -> Outcome:
    schedule = draw(seed, DURATION_S, topology, chosen(IMPORTANT))
    outcome = uvloop.run(run(Options(seed, DURATION_S, RATE, topology), schedule, root, log.info))
    log.info("%s", "\n".join(lines(outcome)))
    return outcome


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("seed", "topology"), [(5, Topology(1, 1)), (106, Topology(2, 2))])
def test_nothing_is_lost_doubled_or_stuck(tmp_path: Path, seed: int, topology: Topology) -> None:
    """Orders, histories, the ledger, the client's list, every follower and every log, after faults under load."""
    outcome = outcome_of(tmp_path, seed, topology)
    assert outcome.clean, outcome.last_line()
    assert len(outcome.client.claims) == len(outcome.evidence.orders) == RATE * DURATION_S
    assert len(outcome.happened) >= 5
    assert outcome.followings
    assert outcome.wallet.latest
    assert any(event.type == "recovered" for events in outcome.evidence.events.values() for event in events)
