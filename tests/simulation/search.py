"""Searches many seeds for a schedule that violates something, and makes what it finds readable."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from simulation.drawing import draw_plan
from simulation.mutants import MUTANTS
from simulation.oracle import Violation
from simulation.plan import Plan, to_json
from simulation.schedules import TRUE_ENGINE, run
from simulation.shrinking import shrink
from simulation.worker import Make

_CHUNK = 200


@dataclass
class Found:
    """What a number of schedules showed: the violations by seed, and how many schedules met what."""

    schedules: int = 0
    simulated_s: float = 0.0
    violations: dict[int, list[Violation]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Found") -> None:
        """Add what other schedules showed."""
        self.schedules += other.schedules
        self.simulated_s += other.simulated_s
        self.violations |= other.violations
        self.met += other.met


def engine(mutant: str | None) -> Make:
    """Return what the engine is made of; with the bug of that name, or none."""
    return TRUE_ENGINE if mutant is None else MUTANTS[mutant].make


def search(seeds: Iterable[int], mutant: str | None = None) -> Found:
    """Run the schedules of the seeds in this process."""
    found, make = Found(), engine(mutant)
    for seed in seeds:
        outcome = run(draw_plan(seed), make)
        found.schedules += 1
        found.simulated_s += outcome.took_s
        found.met.update(set(outcome.counts))
        if outcome.violations:
            found.violations[seed] = outcome.violations
    return found


def search_in_parallel(seeds: Sequence[int], mutant: str | None, processes: int) -> Iterator[Found]:
    """Run the schedules in several processes; yield what each chunk of them showed."""
    chunks = [seeds[first : first + _CHUNK] for first in range(0, len(seeds), _CHUNK)]
    if processes == 1:
        yield from (search(chunk, mutant) for chunk in chunks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(search, chunks, [mutant] * len(chunks))


def shrink_failure(plan: Plan, mutant: str | None = None) -> Plan:
    """Return a smallest plan that violates what the given one violates first."""
    make = engine(mutant)
    kind = run(plan, make).violations[0].kind

    def fails(candidate: Plan) -> bool:
        return any(violation.kind == kind for violation in run(candidate, make).violations)

    return shrink(plan, fails)


def report(plan: Plan, mutant: str | None = None) -> str:
    """Return the plan's schedule as a readable history, and the command that replays it."""
    outcome = run(plan, engine(mutant), tell=True)
    lines = [f"a world of {_constants(plan)}"]
    lines += [f"  order {number}: {order}" for number, order in enumerate(plan.orders)]
    lines += [f"  fault: {fault}" for fault in plan.faults] or ["  no faults"]
    lines += ["history:", *(f"  {told}" for told in outcome.history)]
    lines += [f"violation: {violation}" for violation in outcome.violations] or ["no violation"]
    lines.append(
        f"replay: make simulate ARGS='{'' if mutant is None else f'--mutant {mutant} '}--plan {_quoted(plan)}'"
    )
    return "\n".join(lines)


def _constants(plan: Plan) -> str:
    return (
        f"{plan.workers} workers, {plan.max_attempts} attempts, {plan.max_in_flight} in flight, "
        f"{plan.valid_blocks} valid blocks, finality after {plan.finality_blocks}, "
        f"statuses remembered for {plan.remembered_blocks}, seed {plan.seed}"
    )


def _quoted(plan: Plan) -> str:
    # Inside single quotes of a shell and of make, whose own quoting knows nothing of either.
    return '"' + to_json(plan).replace('"', '\\"') + '"'
