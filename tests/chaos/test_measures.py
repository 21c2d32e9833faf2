"""Where times come from."""

import math
from datetime import UTC, datetime

from chaos.conductor import Befallen
from chaos.kinds import KINDS, Fault
from chaos.measures import percentile, recoveries, unserved
from load.evidence import EventRow

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}


def befallen(name: str, began_at: float, ended_at: float) -> Befallen:
    return Befallen(Fault(KINDS_BY_NAME[name], "x", 0.0, {}), began_at, ended_at)


def event(seq: int, kind: str, at: float) -> EventRow:
    return EventRow("a", seq, kind, "routing", None, 1, datetime.fromtimestamp(at, UTC), {})


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank; without values there is none."""
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def test_a_pause_counts_from_the_first_fault_that_hurt_a_worker() -> None:
    """Since the order's event before; a later one, and one of somebody else, are not its cause."""
    faults = [
        befallen("kill-worker", 90, 90),
        befallen("valkey-flush", 101, 101),
        befallen("kill-worker", 102, 102),
        befallen("stall-worker", 103, 104),
    ]
    history = [event(1, "status", 100), event(2, "recovered", 106), event(3, "status", 107)]
    assert recoveries([history], faults) == {"kill-worker": [4.0]}


def test_a_worker_that_was_told_to_stop_goes_on_for_a_while() -> None:
    """The pause of what it then released counts from its last move; without any fault there is no cause."""
    history = [event(1, "status", 102), event(2, "recovered", 104)]
    assert recoveries([history], [befallen("terminate-worker", 100, 100)]) == {"terminate-worker": [2.0]}
    assert recoveries([history], [befallen("valkey-flush", 103, 103)]) == {"(no fault)": [2.0]}


def test_a_fault_that_came_alone_is_charged_with_the_longest_time_unserved() -> None:
    """From its beginning on; faults that came together are charged with nothing."""
    served = [99.0, 100.5, 103.5, 103.6, 110.0, 110.1]
    alone, together, too = (
        befallen("kill-api", 100, 100),
        befallen("kill-worker", 109, 109),
        befallen("valkey-flush", 109.5, 110),
    )
    assert unserved(served, [alone, together, too]) == {"kill-api": [3.0]}
