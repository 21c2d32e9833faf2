"""What lies between one process and everything else: latency, lost requests and replies, stalls, and its death."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import errors

from simulation.faults import CallKey
from simulation.plan import Blow, BrokenCall, Service

if TYPE_CHECKING:
    from simulation.world import World

_START = datetime(2026, 1, 1, tzinfo=UTC)
# Seconds each way; no request and no reply takes a round number of them.
_SHORTEST_S, _LONGEST_S = 0.001, 0.02
_DELIVERED_AFTER_DEATH = 0.5


def moment(at: float) -> datetime:
    """Return a time of the simulation as the wall clock shows it, to everybody alike."""
    return _START + timedelta(seconds=at)


class Wire:
    """All that a process does to the world goes through its wire, call by call.

    A request that has left takes effect whatever becomes of its sender. The dead hear nothing and say nothing more:
    what they wait for never comes. The stalled hear and say everything later.
    """

    def __init__(self, world: "World", name: str, life: int) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self._stalls = 0
        self._held: list[Callable[[], None]] = []
        self.loop = world.loop
        self.random = random.Random(f"{world.plan.seed}/{name}/{life}")

    # --- Life and death ------------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Let nothing through any more."""
        self._stalls += 1

    def resume(self) -> None:
        """Let everything through that was held."""
        self._stalls -= 1
        if self._stalls:
            return
        held, self._held = self._held, []
        for each in held:
            self.when_running(each)

    def when_running(self, step: Callable[[], None]) -> None:
        """Take the step now, or when the process runs again; never, when it is dead."""
        if self.dead:
            return
        if self._stalls:
            self._held.append(step)
        else:
            step()

    # --- Time ----------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.loop.time()

    def now(self) -> datetime:
        return moment(self.loop.time())

    async def sleep(self, seconds: float) -> None:
        awake = self.loop.create_future()

        def wake() -> None:
            if not awake.done():
                awake.set_result(None)

        timer = self.loop.call_later(seconds, self.when_running, wake)
        try:
            await awake
        finally:
            timer.cancel()

    # --- Calls ---------------------------------------------------------------------------------------------------

    def call(
        self, service: Service, name: str, effect: Callable[[], Any], error: type[Exception]
    ) -> asyncio.Future[Any]:
        """Ask the service for the effect; return the future of its result. Without one it is the error."""
        key = (self.name, name, self.world.count_call(self.name, name))
        call = _Call(self, key, service, effect, error)
        self.world.strike_at(key, "before")
        self.when_running(call.leave)
        return call.answer


class _Call:
    __slots__ = ("answer", "broken", "effect", "error", "key", "loop", "result", "service", "wire", "world")

    def __init__(
        self, wire: Wire, key: CallKey, service: Service, effect: Callable[[], Any], error: type[Exception]
    ) -> None:
        self.wire = wire
        self.world = wire.world
        self.loop = wire.loop
        self.key = key
        self.service = service
        self.effect = effect
        self.error = error
        self.answer: asyncio.Future[Any] = wire.loop.create_future()
        self.broken: BrokenCall | None = wire.world.faults.broken.get(key)
        self.result: Any = None

    def leave(self) -> None:
        latency = self.wire.random.uniform(_SHORTEST_S, _LONGEST_S)
        if self.broken is not None and self.broken.how == "slow":
            self._hit()
            latency += self.broken.for_s
        self.loop.call_later(latency, self.arrive)
        self.world.strike_at(self.key, "sent")

    def arrive(self) -> None:
        wire, broken = self.wire, self.broken
        struck = self.world.faults.blows_at(self.key, "sent")
        if wire.dead and not struck and wire.random.random() > _DELIVERED_AFTER_DEATH:
            self.world.tell(wire.name, f"its last {self.key[1]} is lost with it")
            return
        if self.world.unreachable(self.service, wire.name):
            self._answer(self._lost("the service cannot be reached"))
            return
        if broken is None or broken.how == "slow":
            self._answer(self._take_effect())
            return
        self._hit()
        if broken.how == "refused":
            self._answer(self._lost("refused by an injected fault"))
        elif broken.how == "rejected":
            self._answer(errors.RaiseException("rejected by an injected trigger"))
        elif broken.how == "no liquidity":
            self._answer(self.world.no_liquidity())
        elif broken.how == "lingers":
            self.loop.call_later(broken.for_s, self._take_effect)
            self.world.busy_until(broken.for_s)
            self._answer(self._lost("connection lost, and the request goes on"))
        elif broken.how == "reply lost":
            self._take_effect()
            self._answer(self._lost("connection lost after the request"))
        else:
            self._answer(self._take_effect(), broken.for_s)

    def _hit(self) -> None:
        assert self.broken is not None
        self.world.counts[f"fault: {self.broken.how} ({self.key[1]})"] += 1
        self.world.tell(self.wire.name, f"{self.key[1]}: {self.broken.how} {self.broken.for_s or ''}".rstrip())

    def _lost(self, why: str) -> Exception:
        return self.error(why)

    def _take_effect(self) -> Any:
        self.world.acting = self.wire.name
        try:
            return self.effect()
        except Exception as error:  # noqa: BLE001 - whatever the service raises is its answer
            return error

    def _answer(self, result: Any, later_s: float = 0.0) -> None:
        self.result = result
        self.loop.call_later(self.wire.random.uniform(_SHORTEST_S, _LONGEST_S) + later_s, self.come_back)

    def come_back(self) -> None:
        if self.wire.dead:
            return
        self.world.strike_at(self.key, "after")
        if self.world.unreachable(self.service, self.wire.name):
            self.result = self._lost("the reply was lost in an outage")
        self.wire.when_running(self.settle)

    def settle(self) -> None:
        if self.answer.done():
            return
        if isinstance(self.result, Exception):
            self.answer.set_exception(self.result)
        else:
            self.answer.set_result(self.result)


def describe(blow: Blow) -> str:
    """Return what a blow does, for the history."""
    return {
        "crash": f"dies (another one comes after {blow.for_s:.3f} s)",
        "stall": f"stands still for {blow.for_s:.3f} s",
        "stop": f"is asked to stop (another one comes after {blow.for_s:.3f} s)",
    }[blow.kind]
