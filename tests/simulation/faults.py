"""The faults of a plan, sorted by who asks for them and when."""

from collections import defaultdict

from simulation.plan import Behind, Blow, BrokenCall, Cancel, ClockStep, Message, Outage, Plan, Point, Service

CallKey = tuple[str, str, int]
"""whose call, of which kind, and its number within the kind"""


class Faults:
    """What a plan has against a world; of two against the same call or message the first counts."""

    def __init__(self, plan: Plan) -> None:
        self.broken: dict[CallKey, BrokenCall] = {}
        self.messages: dict[int, Message] = {}
        self.cancels: list[Cancel] = []
        self.timed_blows: list[Blow] = []
        self._blows: dict[tuple[CallKey, str], list[Blow]] = defaultdict(list)
        self._outages: list[Outage] = []
        self._behind: list[Behind] = []
        self._steps: list[ClockStep] = []
        for fault in plan.faults:
            match fault:
                case BrokenCall():
                    self.broken.setdefault((fault.who, fault.call, fault.nth), fault)
                case Message():
                    self.messages.setdefault(fault.order, fault)
                case ClockStep():
                    self._steps.append(fault)
                case Cancel():
                    self.cancels.append(fault)
                case Outage():
                    self._outages.append(fault)
                case Behind():
                    self._behind.append(fault)
                case Blow(at=Point() as point):
                    key = (f"worker {fault.worker}", point.call, point.nth)
                    self._blows[key, point.phase].append(fault)
                case Blow():
                    self.timed_blows.append(fault)
                case _:
                    # The chain knows what becomes of its transactions.
                    pass

    def blows_at(self, key: CallKey, phase: str) -> list[Blow]:
        """Return the blows that fall at this point."""
        return self._blows.get((key, phase), []) if self._blows else []

    def clock_offset(self, now: float) -> float:
        """Return by how many seconds the database's clock is ahead of the world's."""
        return -sum(step.by_s for step in self._steps if step.at <= now) if self._steps else 0.0

    def outage(self, service: Service, who: str, now: float) -> Outage | None:
        """Return the outage because of which the process does not reach the service now."""
        for outage in self._outages:
            hit = outage.what == service or (outage.what == "store" and service == "heart")
            if hit and outage.who in (None, who) and outage.at <= now < outage.at + outage.for_s:
                return outage
        return None

    def behind_by(self, now: float, call: str, nth: int) -> float:
        """Return how many seconds the node is behind that answers a call of this kind and number."""
        for behind in self._behind:
            hit = nth % behind.one_in == 0 and call != behind.fresh
            if hit and behind.at <= now < behind.at + behind.for_s:
                return behind.by_s
        return 0.0
