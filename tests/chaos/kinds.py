"""Every fault that the suite knows, as data: whom it befalls, how long it lasts and how strong it is."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

Span = tuple[float, float]

LINKS = (
    ("api", "postgres"),
    ("api", "valkey"),
    ("worker", "postgres"),
    ("worker", "valkey"),
    ("worker", "mockdex"),
    ("client", "api"),
)


@dataclass(frozen=True, slots=True)
class Topology:
    """How many processes of each service there are."""

    workers: int
    apis: int

    def members(self, role: str) -> list[str]:
        """Return the names of a role's processes."""
        if role == "worker":
            return [f"worker-{number}" for number in range(1, self.workers + 1)]
        if role == "api":
            return ["api", *(f"api-{number}" for number in range(2, self.apis + 1))]
        return [role]

    def links(self, near: str, far: str) -> list[str]:
        """Return the names of the connections between the processes of two roles."""
        return [f"{one}>{other}" for one in self.members(near) for other in self.members(far)]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: `act` says what is done, to one of `role`'s processes or to one of a pair's connections."""

    name: str
    act: str
    role: str
    lasts_s: Span = (0.0, 0.0)
    parameters: Mapping[str, Span] = field(default_factory=dict)
    subject: str = ""  # of the DEX's faults: which setting

    def victims(self, topology: Topology) -> list[str]:
        """Return whom it can befall."""
        if self.subject:
            return [self.subject]
        near, arrow, far = self.role.partition(">")
        return topology.links(near, far) if arrow else topology.members(self.role)

    def draw(self, rng: random.Random, topology: Topology) -> "Fault":
        """Draw one fault of the kind."""
        victim = rng.choice(self.victims(topology))
        seconds = round(rng.uniform(*self.lasts_s), 2)
        return Fault(self, victim, seconds, {name: round(rng.uniform(*span), 3) for name, span in self._spans()})

    def _spans(self) -> list[tuple[str, Span]]:
        return sorted(self.parameters.items())


@dataclass(frozen=True, slots=True)
class Fault:
    """A drawn fault."""

    kind: Kind
    victim: str
    seconds: float
    parameters: Mapping[str, float]

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.2f} s" if self.seconds else ""
        strength = " ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.kind.name:<28} {self.victim}{lasting} {strength}".rstrip()


def _process_kinds() -> list[Kind]:
    kinds: list[Kind] = []
    for role, longest_stall_s in (("worker", 2.5), ("api", 3.0), ("mockdex", 3.0)):
        kinds += [
            Kind(f"kill-{role}", "kill", role),
            Kind(f"terminate-{role}", "terminate", role),
            Kind(f"stall-{role}", "stall", role, (0.3, longest_stall_s)),
        ]
    # Its last heartbeat lies ahead of the database's clock, which has stepped back meanwhile.
    kinds.append(Kind("kill-worker-clock-back", "kill-ahead", "worker"))
    # Longer than the lease, so that it wakes up among orders that others have taken.
    return [*kinds, Kind("outlast-lease-worker", "stall", "worker", (4.0, 7.0))]


def _server_kinds() -> list[Kind]:
    return [
        Kind("postgres-restart", "interrupt", "postgres"),
        Kind("postgres-crash", "kill-family", "postgres"),
        Kind("postgres-abort", "quit", "postgres"),
        Kind("postgres-freeze", "stall", "postgres", (0.5, 4.0)),
        Kind("postgres-full", "fill-connections", "postgres", (0.5, 2.5)),
        Kind("postgres-hang-up", "end-sessions", "postgres"),
        Kind("postgres-read-only", "turn-read-only", "postgres", (0.5, 4.0)),
        Kind("postgres-lock", "lock-orders", "postgres", (0.5, 2.5)),
        Kind("valkey-crash", "kill", "valkey"),
        Kind("valkey-restart", "terminate", "valkey"),
        Kind("valkey-freeze", "stall", "valkey", (0.5, 4.0)),
        Kind("valkey-flush", "flush", "valkey"),
        Kind("valkey-hang-up", "end-clients", "valkey"),
    ]


def _network_kinds() -> list[Kind]:
    kinds: list[Kind] = []
    for near, far in LINKS:
        pair = f"{near}>{far}"
        kinds += [
            Kind(f"net-delay-{near}-{far}", "delay", pair, (1.0, 3.0), {"delay_ms": (20, 300)}),
            Kind(f"net-swallow-{near}-{far}", "swallow", pair, (0.5, 4.0)),
            Kind(f"net-tear-{near}-{far}", "tear", pair),
            Kind(f"net-cut-{near}-{far}", "cut", pair, (0.2, 2.0)),
            Kind(f"net-trickle-{near}-{far}", "trickle", pair, (1.0, 3.0), {"bytes_per_s": (2_000, 20_000)}),
        ]
    # An answer that comes twice: the second one belongs to no request.
    return [*kinds, Kind("net-stray-worker-mockdex", "repeat", "worker>mockdex", (1.0, 3.0))]


def _dex_kinds() -> list[Kind]:
    often, half = {"rate": (0.3, 1.0)}, {"rate": (0.2, 0.6)}
    lasts = (1.0, 3.0)

    def rate(name: str, setting: str, strength: Mapping[str, Span]) -> Kind:
        return Kind(f"dex-{name}", "set-dex", "mockdex", lasts, strength, setting)

    return [
        rate("reply-lost", "reply_lost_rate", often),
        rate("drop", "drop_rate", often),
        rate("never-lands", "never_lands_rate", half),
        rate("late-landing", "late_landing_rate", half),
        rate("stale-status", "stale_status_rate", often),
        rate("rate-limit", "rate_limit_rate", often),
        rate("quote-error", "quote_error_rate", often),
        rate("quote-timeout", "quote_timeout_rate", half),
        rate("quote-error-raydium", "quote_error_rate_raydium", {"rate": (1.0, 1.0)}),
        rate("quote-error-meteora", "quote_error_rate_meteora", {"rate": (1.0, 1.0)}),
        rate("no-liquidity", "no_liquidity_rate", half),
        rate("rpc-error", "rpc_error_rate", often),
        rate("swap-failure", "failure_rate", half),
        rate("node-pruned", "transaction_pruned_rate", often),
        rate("node-max-body", "rpc_max_body_bytes", {"rate": (1_000, 20_000)}),
        rate("node-max-batch", "rpc_max_batch", {"rate": (1, 5)}),
        rate("node-rate-limit", "rpc_rate_limit", {"rate": (3, 40)}),
        Kind("dex-slow", "set-dex", "mockdex", lasts, {"rate": (1500, 4000)}, "execution_delay_ms"),
    ]


KINDS: Sequence[Kind] = [*_process_kinds(), *_server_kinds(), *_network_kinds(), *_dex_kinds()]


def chosen(patterns: Sequence[str]) -> list[Kind]:
    """Return the kinds whose names match one of the patterns, as a shell matches file names.

    Raises ValueError naming a pattern that matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(kind.name, pattern) for kind in KINDS):
            raise ValueError(f"no kind of fault is called {pattern}")
    return [kind for kind in KINDS if any(fnmatchcase(kind.name, pattern) for pattern in patterns)]
