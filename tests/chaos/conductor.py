"""Carries out faults on a running system, at their times, and keeps the record of what really happened."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import psycopg
import redis.asyncio as redis
from psycopg import AsyncConnection

from chaos.kinds import Fault
from chaos.proxy import FAIR, Proxy, Weather
from chaos.schedule import Injection
from chaos.system import System
from support.waiting import eventually

_FOUND_WITHIN_S = 6.0
_RESTORED_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.1
_STRANGERS = 60
_SIGNALS = {
    "kill": signal.SIGKILL,
    "terminate": signal.SIGTERM,
    "interrupt": signal.SIGINT,
    "quit": signal.SIGQUIT,
}
_TROUBLE = (OSError, psycopg.Error, redis.RedisError, aiohttp.ClientError, TimeoutError)


@dataclass
class Befallen:
    """A fault that happened: seconds since 1970. `missed` says why it could not be carried out, where it could not."""

    fault: Fault
    began_at: float
    ended_at: float = 0.0
    missed: str = ""


class Conductor:
    """Injects faults; `record` has those that happened and those that were missed, in order of their beginning."""

    def __init__(
        self,
        system: System,
        dex_settings: Mapping[str, object],
        say: Callable[[str], None],
        patience_s: float = _FOUND_WITHIN_S,
    ) -> None:
        self.record: list[Befallen] = []
        self._system = system
        self._dex_settings = dex_settings  # what holds when there is no fault
        self._say = say
        self._patience_s = patience_s  # for a victim that is just being started again

    @property
    def happened(self) -> list[Befallen]:
        """The faults that were carried out."""
        return [each for each in self.record if not each.missed]

    async def conduct(self, schedule: Sequence[Injection]) -> None:
        """Inject every fault at its time, counted from now; return when all of them are over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for injection in schedule:
                await asyncio.sleep(max(0.0, began + injection.at_s - time.monotonic()))
                group.create_task(self.inject(injection.fault))

    async def inject(self, fault: Fault) -> None:
        """Carry out one fault and end it."""
        befallen = Befallen(fault, time.time())
        self.record.append(befallen)
        try:
            await self._carry_out(fault, befallen)
        except _TROUBLE as error:
            befallen.missed = f"{type(error).__name__}: {error}"
        befallen.ended_at = time.time()
        self._say(f"{fault}{f'  MISSED: {befallen.missed}' if befallen.missed else ''}")

    async def _carry_out(self, fault: Fault, befallen: Befallen) -> None:
        act = fault.kind.act
        if act in _SIGNALS or act in ("kill-family", "stall"):
            pids = await self._found(fault.victim)
            befallen.began_at = time.time()
            await self._signal(act, pids, fault)
        elif act == "set-dex":
            await self._set_dex(fault)
        elif act == "kill-ahead":
            pids = await self._found(fault.victim)
            befallen.began_at = time.time()
            _send(pids[:1], signal.SIGKILL)
            await self._set_heartbeats_ahead()
        elif ">" in fault.victim:
            await self._trouble(self._system.proxies[fault.victim], fault)
        else:
            await getattr(self, f"_{act.replace('-', '_')}")(fault.seconds)

    # --- Processes

    async def _found(self, name: str) -> list[int]:
        """Return the pids of a process's family, waiting for it to be there. Raises TimeoutError."""
        try:
            return await eventually(lambda: self._system.family(name), within_s=self._patience_s)
        except AssertionError:
            raise TimeoutError(f"{name} does not run") from None

    async def _signal(self, act: str, pids: Sequence[int], fault: Fault) -> None:
        if act == "stall":
            _send(pids, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            _send(pids, signal.SIGCONT)
        elif act == "kill-family":
            _send(pids, signal.SIGKILL)
        else:
            _send(pids[:1], _SIGNALS[act])

    # --- The network

    async def _trouble(self, proxy: Proxy, fault: Fault) -> None:
        if fault.kind.act == "tear":
            proxy.tear()
            return
        proxy.weather = _weather(fault)
        await asyncio.sleep(fault.seconds)
        proxy.weather = FAIR

    # --- The mock DEX

    async def _set_dex(self, fault: Fault) -> None:
        setting, value = fault.victim, fault.parameters["rate"]
        whole = isinstance(self._dex_settings[setting], int)
        await self._until_set({setting: round(value) if whole else value}, self._patience_s)
        await asyncio.sleep(fault.seconds)
        await self.restore_dex(setting)

    async def restore_dex(self, *names: str) -> None:
        """Put settings of the mock DEX back; it may be away for a while. Raises TimeoutError."""
        values = {name: self._dex_settings[name] for name in names or self._dex_settings}
        await self._until_set(values, _RESTORED_WITHIN_S)

    async def _until_set(self, values: Mapping[str, object], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await self._system.set_dex(**values)
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    # --- PostgreSQL from the inside

    async def _fill_connections(self, seconds: float) -> None:
        """Take every connection there is, those of the services first."""
        strangers: list[AsyncConnection] = []
        try:
            async with self._session() as session:
                await _end_sessions(session)
                for _ in range(_STRANGERS):
                    strangers.append(await AsyncConnection.connect(self._system.database_url, connect_timeout=2))  # noqa: PERF401 - what was opened before a failure is to be closed
        except psycopg.OperationalError:
            if not strangers:
                raise
        finally:
            if strangers:
                await asyncio.sleep(seconds)
            for stranger in strangers:
                await stranger.close()

    async def _end_sessions(self, _seconds: float) -> None:
        async with self._session() as session:
            await _end_sessions(session)

    async def _set_heartbeats_ahead(self) -> None:
        """Let every heartbeat lie an hour ahead, as after a step of the clock; who lives sends another one at once."""
        async with self._session() as session:
            await session.execute("UPDATE workers SET beat_at = clock_timestamp() + interval '1 hour'")

    async def _turn_read_only(self, seconds: float) -> None:
        """Let the server take no writes for a while, as one does that a failover has demoted."""
        try:
            await self._set_read_only("on")
            await asyncio.sleep(seconds)
        finally:
            await self._writable_again()

    async def _writable_again(self) -> None:
        """Let the server take writes, however often another fault takes it away meanwhile. Raises TimeoutError."""
        async with asyncio.timeout(_RESTORED_WITHIN_S):
            while True:
                with suppress(psycopg.Error, OSError):
                    await self._set_read_only("off")
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _set_read_only(self, setting: str) -> None:
        async with self._session() as session:
            await session.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
            await session.execute("SELECT pg_reload_conf()")

    async def _lock_orders(self, seconds: float) -> None:
        async with self._session() as session, session.transaction():
            await session.execute("SET LOCAL lock_timeout = '5s'")
            await session.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncConnection]:
        async with await AsyncConnection.connect(
            self._system.database_url,
            autocommit=True,
            connect_timeout=3,
            application_name="chaos",
            options="-c default_transaction_read_only=off",
        ) as session:
            yield session

    # --- Valkey from the inside

    async def _flush(self, _seconds: float) -> None:
        async with self._valkey() as client:
            await client.flushall()

    async def _end_clients(self, _seconds: float) -> None:
        async with self._valkey() as client:
            for kind in ("normal", "pubsub"):
                await client.client_kill_filter(_type=kind, skipme=True)

    @asynccontextmanager
    async def _valkey(self) -> AsyncIterator[redis.Redis]:
        client = redis.Redis.from_url(self._system.redis_url, socket_timeout=2, socket_connect_timeout=2)
        try:
            yield client
        finally:
            await client.aclose()


async def _end_sessions(session: AsyncConnection) -> None:
    await session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND application_name <> 'chaos'"
    )


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _weather(fault: Fault) -> Weather:
    match fault.kind.act:
        case "delay":
            delay_s = fault.parameters["delay_ms"] / 1000
            return Weather(delay_s=delay_s, jitter_s=delay_s / 2)
        case "swallow":
            return Weather(swallows=True)
        case "cut":
            return Weather(refuses=True)
        case "trickle":
            return Weather(bytes_per_s=fault.parameters["bytes_per_s"])
        case "repeat":
            return Weather(repeats=True)
        case act:
            raise ValueError(f"the network has no {act}")
