"""Runs plans: one, or one after another by their seeds."""

from simulation import loop
from simulation.plan import Plan
from simulation.worker import Make
from simulation.world import Outcome, World

TRUE_ENGINE = Make()


def run(plan: Plan, make: Make = TRUE_ENGINE, *, tell: bool = False) -> Outcome:
    """Run the plan's schedule; with `tell` its history is kept."""

    async def main() -> Outcome:
        return await World(plan, make, tell=tell).run()

    return loop.run(main())
