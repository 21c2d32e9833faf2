"""A run's faults come from its seed and from nothing else."""

import pytest

from chaos.kinds import KINDS, Topology, chosen
from chaos.schedule import Injection, draw

LONG = 900.0
PAIR = Topology(2, 2)


def test_the_same_seed_gives_the_same_schedule() -> None:
    """Kinds, victims, times and parameters; another seed gives another one."""
    first, again, other = (draw(seed, LONG, PAIR, KINDS) for seed in (7, 7, 8))
    assert first == again
    assert [str(each) for each in first] == [str(each) for each in again]
    assert first != other


def test_fifteen_minutes_hold_more_than_200_faults_of_every_kind() -> None:
    """On average more than one in four seconds and a half, and none is left out, whatever the seed."""
    for seed in range(20):
        schedule = draw(seed, LONG, Topology(1, 1), KINDS)
        assert len(schedule) >= 200
        assert {each.fault.kind.name for each in schedule} == {kind.name for kind in KINDS}


def test_faults_end_with_the_run_and_come_in_order() -> None:
    """The load outlasts the last fault."""
    for seed in range(20):
        schedule = draw(seed, LONG, PAIR, KINDS)
        assert [each.at_s for each in schedule] == sorted(each.at_s for each in schedule)
        assert all(each.at_s + each.fault.seconds <= LONG for each in schedule)


def test_some_faults_come_alone_and_some_together() -> None:
    """At most three at a time, and never two of them at the same victim."""
    schedule = draw(3, LONG, PAIR, KINDS)
    together = [_company(each, schedule) for each in schedule]
    assert {len(each) for each in together} >= {1, 2, 3}
    for each in together:
        victims = [other.fault.victim for other in each]
        assert len(victims) == len(set(victims))


def _company(one: Injection, schedule: list[Injection]) -> list[Injection]:
    return [
        other
        for other in schedule
        if other.at_s <= one.at_s + one.fault.seconds and one.at_s <= other.at_s + other.fault.seconds
    ]


def test_every_member_of_the_topology_is_a_victim() -> None:
    """Each worker, each api and each of their connections."""
    victims = {each.fault.victim for each in draw(1, 10_000, PAIR, KINDS)}
    assert {"worker-1", "worker-2", "api", "api-2", "mockdex", "postgres", "valkey"} <= victims
    assert {"worker-2>postgres", "worker-2>valkey", "worker-2>mockdex", "api-2>postgres", "client>api-2"} <= victims


def test_kinds_are_chosen_by_patterns() -> None:
    """As file names are; a pattern that matches nothing is a mistake and said to be one."""
    assert {kind.name for kind in chosen(["kill-*", "valkey-flush"])} == {
        "kill-worker",
        "kill-worker-clock-back",
        "kill-api",
        "kill-mockdex",
        "valkey-flush",
    }
    with pytest.raises(ValueError, match="explode"):
        chosen(["kill-*", "explode"])
