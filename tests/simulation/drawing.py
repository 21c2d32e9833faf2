"""Draws a plan from a seed.

Faults are drawn where they can hurt: blows at points of an order's way through the store and the chain, outages and
nodes behind around the moment at which a swap's last valid block passes.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from simulation.plan import (
    BLOCK_S,
    Behind,
    Blow,
    BrokenCall,
    Cancel,
    ClockStep,
    Dropped,
    Fate,
    Fault,
    Message,
    Outage,
    Plan,
    PlannedOrder,
    Point,
    Price,
    Vanishing,
)
from simulation.worker import LEASE_S

_PHASES = ("before", "sent", "after")
_ERRORS = (6000, 6001, 1, 0)
# How often a worker makes a call of each kind for an order; what is rare in a calm life comes with faults.
_STORE_CALLS = {
    "claim": 2,
    "move": 6,
    "sweep": 6,
    "read owned": 6,
    "read own": 2,
    "read attempt": 2,
    "beat": 6,
    "release": 1,
}
_CHAIN_CALLS = {"blockhash": 3, "send": 4, "statuses": 12, "height": 6, "search": 3, "paid out": 2}
_QUOTES = {"quote raydium": 3, "quote meteora": 3}
_CALLS = [*_STORE_CALLS.items(), *_CHAIN_CALLS.items(), ("quote raydium", 3), ("move", 6), ("move", 6), ("send", 4)]
_MOST_FAULTS = 10


def draw_plan(seed: int) -> Plan:
    """Return the plan of the seed."""
    dice = random.Random(seed)
    plan = Plan(
        seed=seed,
        orders=tuple(_order(dice) for _ in range(_pick(dice, (1, 10), (2, 3), (4, 1)))),
        workers=_pick(dice, (1, 1), (2, 8), (3, 2)),
        max_attempts=_pick(dice, (1, 1), (2, 3), (3, 6)),
        max_in_flight=_pick(dice, (1, 1), (10, 5)),
        valid_blocks=_pick(dice, (3, 2), (5, 4), (8, 3), (12, 1)),
        finality_blocks=_pick(dice, (0, 3), (1, 1), (2, 3)),
        remembered_blocks=_pick(dice, (150, 3), (2, 1), (5, 1)),
        drain_s=_pick(dice, (0.0, 2), (0.5, 1), (2.0, 1)),
    )
    draw = _Draw(dice, plan)
    # Swarm testing: each schedule knows few kinds of faults, so that they meet each other and not all the rest.
    kinds = dice.sample(_KINDS, k=dice.randint(1, 5))
    faults = [fault for _ in range(dice.randint(1, _MOST_FAULTS)) for fault in dice.choice(kinds)(draw)]
    return replace(plan, faults=tuple(faults))


def _order(dice: random.Random) -> PlannedOrder:
    pending = dice.random() < 0.1
    floor = 900_000 + dice.randrange(110_000) if dice.random() < 0.15 else None
    return PlannedOrder(_time(dice, 0.01, 2.5), _time(dice, 0.05, 1.0) if pending else None, floor)


def _pick(dice: random.Random, *weighted: tuple[int | float, int]) -> int | float:
    values, weights = zip(*weighted, strict=True)
    return dice.choices(values, weights)[0]


def _time(dice: random.Random, low: float, high: float) -> float:
    return round(dice.uniform(low, high), 3)


class _Draw:
    """Draws single faults for a plan."""

    def __init__(self, dice: random.Random, plan: Plan) -> None:
        self.dice = dice
        self.plan = plan
        self.life_s = plan.valid_blocks * BLOCK_S

    def worker(self) -> int:
        return self.dice.randrange(self.plan.workers)

    def order(self) -> int:
        return self.dice.randrange(len(self.plan.orders))

    def attempt(self) -> int:
        return self.dice.choice((1, 1, 1, 2, 2, 3))

    def at(self) -> float:
        return _time(self.dice, 0.0, 4.0 + self.life_s)

    def point(self) -> Point:
        call, most = self.dice.choice(_CALLS)
        return Point(call, self.dice.randint(1, most), self.dice.choice(_PHASES))

    def around_expiry(self) -> float:
        """Return a moment around that at which an early order's first attempt can land no more."""
        planned = self.plan.orders[self.order()]
        return max(0.0, round(planned.at + self.life_s + self.dice.uniform(-1.0, 1.0), 3))

    # --- One or more faults each ---------------------------------------------------------------------------------

    def crash(self) -> list[Fault]:
        return [Blow("crash", self.worker(), self._when(), _time(self.dice, 0.05, 5.0))]

    def stall(self) -> list[Fault]:
        # Mostly beyond the lease: shorter ones are only latency.
        for_s = _time(self.dice, LEASE_S - 1.0, LEASE_S + 4.0)
        return [Blow("stall", self.worker(), self._when(), for_s)]

    def stop(self) -> list[Fault]:
        return [Blow("stop", self.worker(), self._when(), _time(self.dice, 0.05, 2.0))]

    def _when(self) -> float | Point:
        return self.at() if self.dice.random() < 0.25 else self.point()

    def outage(self) -> list[Fault]:
        what = self.dice.choice(("store", "store", "heart", "chain", "venues"))
        who = f"worker {self.worker()}" if self.dice.random() < 0.5 else None
        at = self.at() if self.dice.random() < 0.7 else self.around_expiry()
        return [Outage("outage", what, at, _time(self.dice, 0.05, LEASE_S + 2.0), who)]

    def broken_store_call(self) -> list[Fault]:
        if self.dice.random() < 0.1:
            who, call, most = "api", self.dice.choice(("move", "read order")), 2
        else:
            who = f"worker {self.worker()}"
            call, most = self.dice.choice([*_STORE_CALLS.items(), ("move", 6), ("claim", 2)])
        return [self._broken(who, call, self.dice.randint(1, most))]

    def broken_chain_call(self) -> list[Fault]:
        call, most = self.dice.choice([*_CHAIN_CALLS.items(), ("send", 2)])
        return [self._broken(f"worker {self.worker()}", call, self.dice.randint(1, most))]

    def _broken(self, who: str, call: str, nth: int) -> BrokenCall:
        how = self.dice.choice(("refused", "reply lost", "reply lost", "lingers", "lingers", "slow", "late reply"))
        return BrokenCall("broken call", who, call, nth, how, self._delay(how))

    def broken_quote(self) -> list[Fault]:
        who, nth = f"worker {self.worker()}", self.dice.randint(1, 3)
        how = self.dice.choice(("refused", "no liquidity", "no liquidity", "slow"))
        calls = _QUOTES if self.dice.random() < 0.5 else (self.dice.choice(list(_QUOTES)),)
        return [BrokenCall("broken call", who, call, nth, how, self._delay(how)) for call in calls]

    def _delay(self, how: str) -> float:
        # A lingering statement outlives its connection; a slow call stays below every client's patience.
        longest = {"lingers": 6.0, "slow": 1.9, "late reply": 1.9}.get(how)
        return 0.0 if longest is None else _time(self.dice, 0.05, longest)

    def behind(self) -> list[Fault]:
        at = self.at() if self.dice.random() < 0.3 else max(0.0, self.around_expiry() - 0.5)
        by_s = _time(self.dice, BLOCK_S / 2, self.life_s + 2.0)
        fresh = self.dice.choice((None, "height", "statuses"))
        return [Behind("behind", at, _time(self.dice, 0.5, 6.0), by_s, self.dice.randint(1, 4), fresh)]

    def fate(self) -> list[Fault]:
        how = self.dice.choice(("lands", "lands", "last block", "last block", "never"))
        error = self.dice.choice(_ERRORS) if self.dice.random() < 0.4 else None
        return [Fate("fate", self.order(), self.attempt(), how, error, _time(self.dice, 0.01, self.life_s))]

    def dropped(self) -> list[Fault]:
        return [Dropped("dropped", self.order(), self.attempt(), self.dice.randint(1, 3))]

    def vanishing(self) -> list[Fault]:
        error = self.dice.choice((None, None, 6000, 6001, 1))
        order, attempt = self.order(), self.attempt()
        fork = Vanishing("vanishing", order, attempt, _time(self.dice, 0.01, self.life_s), error)
        return [fork, *self.fate()] if self.dice.random() < 0.5 else [fork]

    def message(self) -> list[Fault]:
        how = self.dice.choice(("lost", "twice", "again", "late"))
        return [Message("message", self.order(), how, 0.0 if how == "lost" else _time(self.dice, 0.0, 5.0))]

    def cancel(self) -> list[Fault]:
        status = self.dice.choice((None, "pending", "queued", "routing", "routing", "building", "submitted"))
        after_s = self.at() if status is None else _time(self.dice, 0.0, 0.08)
        return [Cancel("cancel", self.order(), after_s, status)]

    def rejected_move(self) -> list[Fault]:
        """Let PostgreSQL refuse some of a worker's transitions, one after another or far apart."""
        worker, nth = f"worker {self.worker()}", self.dice.randint(1, 6)
        many = self.dice.choice((1, 1, 2, 3))
        return [BrokenCall("broken call", worker, "move", nth + more, "rejected") for more in range(many)]

    def late_cancel(self) -> list[Fault]:
        """Let the client cancel a submitted order whose attempt then fails or expires."""
        order, attempt = self.order(), self.dice.choice((1, 1, 2))
        cancel = Cancel("cancel", order, _time(self.dice, 0.0, self.life_s), "submitted")
        error = self.dice.choice((6000, 6001, 1))
        return [cancel, Fate("fate", order, attempt, self.dice.choice(("lands", "lands", "never")), error, self.life_s)]

    def clock_step(self) -> list[Fault]:
        """Set the database's clock back, and let a worker die whose heartbeat lies ahead of it then."""
        at = self.at()
        step = ClockStep(
            "clock step", at, round(self.dice.choice((2.0, 30.0, 3600.0)) * self.dice.uniform(0.5, 1.0), 3)
        )
        crash = Blow("crash", self.worker(), round(at + self.dice.uniform(-0.5, 0.8), 3), _time(self.dice, 0.05, 5.0))
        return [step, crash] if self.dice.random() < 0.7 else [step]

    def price(self) -> list[Fault]:
        # Now and then more base units than a signed 64-bit integer holds.
        huge = self.dice.random() < 0.1
        return [Price("price", 0.0 if huge else self.at(), 10**16 if huge else self.dice.randint(950, 1_050))]

    # --- What hurts together -------------------------------------------------------------------------------------

    def lost_at_the_end(self) -> list[Fault]:
        """Let a swap land in its last block, and nodes be asked for it that do not know it yet."""
        order, attempt = self.order(), self.attempt()
        one_in, fresh = self.dice.choice(((1, "height"), (1, "height"), (1, None), (2, None), (3, "height")))
        behind = Behind("behind", self.around_expiry(), 4.0, _time(self.dice, 0.2, 2.0), one_in, fresh)
        return [Fate("fate", order, attempt, "last block"), behind]

    def goodbye(self) -> list[Fault]:
        """Let a worker's write linger while it says goodbye, or its goodbye go wrong."""
        worker, nth = self.worker(), self.dice.randint(1, 5)
        stop = Blow("stop", worker, Point("move", nth, self.dice.choice(("sent", "after"))), 0.5)
        if self.dice.random() < 0.5:
            lingers = BrokenCall("broken call", f"worker {worker}", "move", nth, "lingers", _time(self.dice, 0.3, 4.0))
            return [stop, lingers]
        if self.dice.random() < 0.5:
            return [stop, self._broken(f"worker {worker}", "release", 1)]
        blow = self.dice.choice(("crash", "stall"))
        return [stop, Blow(blow, worker, Point("release", 1, self.dice.choice(_PHASES)), LEASE_S + 1.0)]

    def unheard(self) -> list[Fault]:
        """Let a worker not hear of its own move, and the reading that follows go wrong as well."""
        worker, nth = self.worker(), self.dice.randint(1, 5)
        unheard = BrokenCall("broken call", f"worker {worker}", "move", nth, "reply lost")
        call = self.dice.choice(("read own", "read own", "read attempt"))
        if self.dice.random() < 0.5:
            return [unheard, self._broken(f"worker {worker}", call, 1)]
        blow = self.dice.choice(("crash", "stall"))
        return [unheard, Blow(blow, worker, Point(call, 1, self.dice.choice(_PHASES)), LEASE_S + 1.0)]

    def weak_heart(self) -> list[Fault]:
        """Let a worker be taken for dead while it goes on."""
        return [
            Outage("outage", "heart", self.at(), _time(self.dice, LEASE_S, LEASE_S + 4.0), f"worker {self.worker()}")
        ]

    def taken_from_itself(self) -> list[Fault]:
        """Let a worker with a weak heart be told again of an order that it carries: it takes it from itself."""
        order = self.order()
        at = self.plan.orders[order].at
        weak = Outage("outage", "heart", _time(self.dice, 0.0, 0.5) + at, LEASE_S + 3.0, None)
        again = Message("message", order, "again", _time(self.dice, LEASE_S + 0.5, LEASE_S + 3.0))
        return [weak, again, Fate("fate", order, 1, self.dice.choice(("last block", "never")))]

    def stalled_submission(self) -> list[Fault]:
        """Let a worker stand still around its sending, while another one decides the attempt."""
        worker, order = self.worker(), self.order()
        call, nth = self.dice.choice((("move", 3), ("send", 1), ("send", 2), ("height", 1), ("search", 1)))
        stall = Blow("stall", worker, Point(call, nth, self.dice.choice(_PHASES)), _time(self.dice, LEASE_S, 9.0))
        return [
            stall,
            Fate("fate", order, 1, self.dice.choice(("last block", "never", "lands")), None, self.life_s * 0.8),
        ]


_KINDS: list[Callable[[_Draw], list[Fault]]] = [
    _Draw.crash,
    _Draw.crash,
    _Draw.stall,
    _Draw.stall,
    _Draw.stop,
    _Draw.outage,
    _Draw.broken_store_call,
    _Draw.broken_store_call,
    _Draw.broken_chain_call,
    _Draw.broken_quote,
    _Draw.behind,
    _Draw.fate,
    _Draw.fate,
    _Draw.dropped,
    _Draw.vanishing,
    _Draw.message,
    _Draw.cancel,
    _Draw.clock_step,
    _Draw.late_cancel,
    _Draw.rejected_move,
    _Draw.price,
    _Draw.lost_at_the_end,
    _Draw.lost_at_the_end,
    _Draw.goodbye,
    _Draw.goodbye,
    _Draw.unheard,
    _Draw.weak_heart,
    _Draw.taken_from_itself,
    _Draw.stalled_submission,
]
