"""A worker dies, or stands still beyond its lease, at every point of an order's life, one point after the other."""

import pytest

from simulation.crash_points import strike_everywhere
from simulation.plan import BrokenCall, Fate, Plan, PlannedOrder
from simulation.search import report, shrink_failure

_ORDER = (PlannedOrder(0.05),)
_LIVES = {
    "confirmed at once": Plan(seed=1, orders=_ORDER),
    "landed with an error, then expired, then confirmed": Plan(
        seed=2,
        orders=_ORDER,
        faults=(
            Fate("fate", 0, 1, "lands", 6000, 0.3),
            Fate("fate", 0, 2, "never"),
            Fate("fate", 0, 3, "lands", None, 0.2),
        ),
        valid_blocks=4,
        finality_blocks=1,
    ),
    "never told of its submission": Plan(
        seed=3, orders=_ORDER, faults=(BrokenCall("broken call", "worker 0", "move", 3, "reply lost"),), valid_blocks=5
    ),
}
# Whatever lies between two awaits of a handler lies between two of these.
_CALLS = {
    *("beat", "read owned", "sweep", "claim", "move"),
    *("quote raydium", "quote meteora", "blockhash", "send", "statuses", "height", "paid out"),
}


@pytest.mark.parametrize("life", _LIVES)
@pytest.mark.parametrize("blow", ["crash", "stall"])
def test_a_worker_may_be_struck_at_any_point(life: str, blow: str) -> None:
    """Before each of its calls, while it is under way, and at its answer: somebody goes on, exactly once."""
    covered = strike_everywhere(_LIVES[life], blow)
    for plan, _ in covered.failures:
        pytest.fail(report(shrink_failure(plan)))
    assert covered.calls >= _CALLS
    assert covered.points > 3 * len(_CALLS)
