"""Keeps programs running: starts them, waits until they are ready, starts the dead again, stops all in order."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import FrameType

from devstack import children
from devstack.children import Child, Program
from devstack.faults import ProcessFailed, StopRequested, explain, tail
from devstack.layout import STACK_MARK, Layout

_POLL_S = 0.05
_READY_PATIENCE_S = 60.0
_STEADY_S = 5.0  # one that lived as long after getting ready has not failed to start
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0
_DEATHS_AT_START = 3
_REFUSED_SETTINGS = 2  # the exit code of a service that cannot use its environment: trying again is no use


@dataclass
class _Member:
    """A program and what is known of its runs."""

    program: Program
    child: Child | None = None
    ready: bool = False
    was_ready: bool = False
    started_at: float = 0.0
    start_again_at: float = 0.0
    deaths: int = 0  # in a row, without a steady life between


class Supervisor:
    """Runs the programs of one stack; its methods belong to one thread at a time, `request_stop` and `hurry` to any."""

    def __init__(self, layout: Layout, say: Callable[[str], None], first_backoff_s: float = _FIRST_BACKOFF_S) -> None:
        self._layout = layout
        self._first_backoff_s = first_backoff_s  # from a death to the next start; doubles with each further death
        self._say = say
        self._members: list[_Member] = []
        self._stopping = threading.Event()
        self._hurry = threading.Event()

    def request_stop(self) -> None:
        """Make what runs now end soon; `stop` is still to be called."""
        self._stopping.set()

    def hurry(self) -> None:
        """Make `stop` kill what it waits for."""
        self._hurry.set()

    def run_to_end(self, program: Program) -> None:
        """Run a program that ends by itself, and watch over the others meanwhile.

        Raises StopRequested, DiskFull or ProcessFailed.
        """
        child = children.start(self._marked(program), self._layout.log(program.name))
        try:
            while not child.wait(_POLL_S):
                self._check_stop()
                self._tick(self._fail_if_hopeless)
        finally:
            child.stop(1.0)
        if child.exit_code != 0:
            raise children.failure(child)

    def launch(self, programs: Sequence[Program]) -> None:
        """Start programs, and leave it to `wait_until_ready` to see what becomes of them."""
        members = [_Member(program) for program in programs]
        self._members.extend(members)
        for member in members:
            self._start(member)

    def wait_until_ready(self) -> None:
        """Wait until each program launched so far is ready.

        Raises StopRequested, DiskFull or ProcessFailed.
        """
        deadline = time.monotonic() + _READY_PATIENCE_S
        while waiting := [member for member in self._members if not member.ready]:
            self._check_stop()
            self._tick(self._fail_if_hopeless)
            if time.monotonic() > deadline:
                raise self._not_ready(waiting[0].program)
            self._stopping.wait(_POLL_S)

    def watch(self) -> None:
        """Keep the programs running until a stop is requested."""
        while not self._stopping.is_set():
            self._tick(self._report_if_hopeless)
            self._stopping.wait(_POLL_S * 2)

    def stop(self) -> None:
        """Stop everything, programs of the highest stage first; leaves no process behind."""
        self._stopping.set()
        if not self._members:
            return
        self._say("stopping")
        by_stage = sorted(self._members, key=lambda member: -member.program.stage)
        for _, stage in groupby(by_stage, key=lambda member: member.program.stage):
            running = [member.child for member in stage if member.child]
            patience_s = max((child.program.stop_patience_s for child in running), default=0.0)
            children.stop(running, patience_s, self._hurry.is_set)
        self._layout.withdraw(*(f"{member.program.name}.pid" for member in self._members))
        self._members.clear()
        self._say("stopped")

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise StopRequested("stopped before the stack was ready")

    def _tick(self, judge: Callable[[_Member, Child], None]) -> None:
        now = time.monotonic()
        for member in self._members:
            if member.child is None:
                if now >= member.start_again_at:
                    self._start(member)
            elif member.child.exit_code is not None:
                self._bury(member, member.child, judge)
            elif not member.ready and member.child.is_ready:
                self._welcome(member)

    def _start(self, member: _Member) -> None:
        name = member.program.name
        try:
            member.child = children.start(self._marked(member.program), self._layout.log(name))
            self._layout.pid_file(name).write_text(f"{member.child.pid}\n")
        except OSError as error:
            if not member.was_ready:
                raise
            # The disk may be full for a while; a stack that runs does not give up.
            self._say(f"{name}: cannot be started: {explain(error)}")
            member.start_again_at = time.monotonic() + _LONGEST_BACKOFF_S
        member.started_at = time.monotonic()

    def _marked(self, program: Program) -> Program:
        return replace(program, env={**program.env, STACK_MARK: str(self._layout.root)})

    def _welcome(self, member: _Member) -> None:
        took = time.monotonic() - member.started_at
        again = " again" if member.was_ready else ""
        self._say(f"{member.program.name:<9} ready{again} after {took:.1f} s  {member.program.address}".rstrip())
        member.ready = member.was_ready = True

    def _bury(self, member: _Member, child: Child, judge: Callable[[_Member, Child], None]) -> None:
        child.kill_rest()
        self._layout.withdraw(f"{member.program.name}.pid")
        now = time.monotonic()
        steady = member.ready and now - member.started_at > _STEADY_S
        member.deaths = 1 if steady else member.deaths + 1
        member.child, member.ready = None, False
        backoff_s = min(_LONGEST_BACKOFF_S, self._first_backoff_s * 2 ** (member.deaths - 1))
        member.start_again_at = now + backoff_s
        judge(member, child)
        self._say(f"{member.program.name:<9} {children.how_it_ended(child)}; starting it again in {backoff_s:.1f} s")

    def _fail_if_hopeless(self, member: _Member, child: Child) -> None:
        refused = child.exit_code == _REFUSED_SETTINGS
        if not member.was_ready and (refused or member.deaths >= _DEATHS_AT_START):
            raise children.failure(child)

    def _report_if_hopeless(self, member: _Member, child: Child) -> None:
        if member.deaths % _DEATHS_AT_START == 0:
            self._say(f"{member.program.name} keeps dying: {children.failure(child)}")

    def _not_ready(self, program: Program) -> ProcessFailed:
        log = self._layout.log(program.name)
        said = tail(log) or "(it wrote nothing)"
        return ProcessFailed(f"{program.name} is not ready after {_READY_PATIENCE_S:.0f} s; the end of {log}:\n{said}")


def on_stop_signals(stop: Callable[[], None], insist: Callable[[], None]) -> None:
    """Call `stop` at the first Ctrl-C, SIGTERM or closing of the terminal and `insist` at any further one.

    From the main thread only.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        (insist if asked else stop)()
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)
