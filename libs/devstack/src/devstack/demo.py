"""`make demo`: a stack of its own, a few orders followed live, one explained, an audit, and everything gone again."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from rich.console import Console

from devstack import audit as auditing
from devstack import waterfall
from devstack.demo_orders import Client, FollowedOrder, demo_orders
from devstack.demo_view import LiveStates, route_table, why, working
from devstack.faults import StackError, StopRequested
from devstack.layout import Layout
from devstack.otlp_sink import OtlpSink, Span
from devstack.ports import free_port
from devstack.settings import StackSettings
from devstack.stack import Stack
from devstack.supervision import on_stop_signals

T = TypeVar("T")

_ORDERS_WITHIN_S = 60.0
_TRACE_WITHIN_S = 8.0
_TRACE_QUIET_S = 1.0  # a trace is complete when nothing was added to it for so long
_SHOWN_SPANS = 40
_INTERRUPTED = 130
_WIDTH_OF_A_FILE = 120
# What a person may have set for another stack. Settings of engine and mock DEX, such as a failure rate, are welcome.
_NOT_PASSED = frozenset(
    {"API_HOST", "API_KEYS", "API_KEYS_FILE", "DATABASE_URL", "DEX_URL", "ENGINE_WALLET_KEY", "ENV", "METRICS_PORT"}
    | {"MOCKDEX_HOST", "MOCK_DEX_ADMIN_TOKEN", "MOCK_DEX_DATA_DIR", "REDIS_URL"}
)


def run() -> int:
    """Show the system by a few orders; return 0 only if all of them finished and the audit is clean.

    Raises StackError in one of its forms.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    directory = Path(tempfile.mkdtemp(prefix="order-engine-demo-"))
    demo = Demo(console, Layout(directory))
    on_stop_signals(demo.interrupt, demo.insist)
    kept = True
    try:
        good = asyncio.run(demo.run())
        kept = not good
    except StopRequested:
        kept = False
        console.print("Interrupted: everything that was started is stopped again.")
        return _INTERRUPTED
    finally:
        if kept:
            console.print(f"The demo did not end as it should; its logs are in {directory}/logs.", soft_wrap=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 0 if good else 1


class Demo:
    """One run of the demo, in a directory of its own."""

    def __init__(self, console: Console, layout: Layout) -> None:
        self._console = console
        self._layout = layout
        self._sink = OtlpSink()
        self._orders = demo_orders()
        self._stack: Stack | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interrupted = asyncio.Event()

    def interrupt(self) -> None:
        """End the demo early, from a signal handler."""
        if self._loop and self._stack:
            self._loop.call_soon_threadsafe(self._interrupted.set)  # from here, or the loop would sleep on
            self._stack.request_stop()
        else:
            self._interrupted.set()

    def insist(self) -> None:
        """Kill what the end of the demo waits for, from a signal handler."""
        if self._stack:
            self._stack.hurry()

    async def run(self) -> bool:
        """Bring the stack up, tell the story, take the stack down; tell whether all was well.

        Raises StackError in one of its forms, StopRequested when interrupted.
        """
        started = time.monotonic()
        with self._layout.held():
            async with self._sink.serving():
                good = await self._with_stack()
        took_s = time.monotonic() - started
        self._console.print(f"\nEverything is stopped and removed again, after {took_s:.0f} s. Your turn: make up")
        return good

    async def _with_stack(self) -> bool:
        stack = Stack(_settings(self._layout.root), self._layout, self._say, _environ(self._sink.url))
        self._stack, self._loop = stack, asyncio.get_running_loop()
        ready = asyncio.Event()
        keeper = asyncio.create_task(asyncio.to_thread(_keep, stack, partial(_set_from_thread, ready, self._loop)))
        trouble = asyncio.create_task(self._trouble(keeper))
        try:
            with working(self._console, "starting PostgreSQL, Valkey, a mock DEX, a worker and the api"):
                await _unless(trouble, ready.wait())
            return await _unless(trouble, self._tell(stack))
        finally:
            trouble.cancel()
            stack.request_stop()
            with suppress(StackError):  # `trouble` has told it already
                await keeper

    async def _trouble(self, keeper: asyncio.Task[None]) -> None:
        """End, by raising, when the stack has ended or somebody wants the demo to."""
        interruption = asyncio.create_task(self._interrupted.wait())
        await asyncio.wait((keeper, interruption), return_when=asyncio.FIRST_COMPLETED)
        interruption.cancel()
        if keeper.done():
            keeper.result()
        raise StopRequested("interrupted")

    async def _tell(self, stack: Stack) -> bool:
        async with aiohttp.ClientSession() as session:
            client = Client(session, stack.api_url)
            self._title(f"{len(self._orders)} orders, followed by WebSocket")
            await self._follow_all(client)
            explained = next((order for order in self._orders if order.status == "confirmed"), self._orders[0])
            snapshot = await client.read(explained.order_id)
        self._explain(explained, snapshot)
        await self._show_trace(snapshot["traceId"])
        return await self._audit(stack) and all(order.finished for order in self._orders)

    async def _follow_all(self, client: Client) -> None:
        with LiveStates(self._console, self._orders) as states:

            async def place_and_follow(order: FollowedOrder) -> None:
                await client.place(order)
                await client.follow(order, states.changed)

            with suppress(TimeoutError):
                async with asyncio.timeout(_ORDERS_WITHIN_S), asyncio.TaskGroup() as group:
                    for order in self._orders:
                        group.create_task(place_and_follow(order))
        for order in self._orders:
            if order.error:
                self._console.print(f"{order.short_id} {order.status}: {order.error}")
            if not order.finished:
                self._console.print(f"{order.short_id} did not finish within {_ORDERS_WITHIN_S:.0f} s")

    def _explain(self, order: FollowedOrder, snapshot: Mapping[str, Any]) -> None:
        self._title(f"the route of {order.short_id}: {order.amount_in} {order.token_in} → {order.token_out}")
        if snapshot["routing"]:
            self._console.print(route_table(snapshot))
            self._console.print(why(snapshot))
        self._console.print(f"transaction {snapshot['txHash']}", soft_wrap=True)

    async def _show_trace(self, trace_id: str) -> None:
        spans = await self._complete_trace(trace_id)
        self._title(f"its trace {trace_id}: {len(spans)} spans of {len({span.service for span in spans})} services")
        self._console.print(waterfall.render(spans[:_SHOWN_SPANS], self._console.width))

    async def _complete_trace(self, trace_id: str) -> list[Span]:
        spans, grew = self._sink.trace(trace_id), time.monotonic()
        deadline = grew + _TRACE_WITHIN_S
        while time.monotonic() < deadline and (not spans or time.monotonic() < grew + _TRACE_QUIET_S):
            await asyncio.sleep(0.1)
            if len(now := self._sink.trace(trace_id)) > len(spans):
                spans, grew = now, time.monotonic()
        return spans

    async def _audit(self, stack: Stack) -> bool:
        self._title("the audit: every order against the chain's ledger")
        verdict = await auditing.audit(stack.database_url, stack.dex_url)
        for line in auditing.report(verdict):
            self._console.print(line)
        return verdict.clean and verdict.unfinished == 0

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _title(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold")


def _keep(stack: Stack, say_ready: Callable[[], object]) -> None:
    """Run a stack from first to last, in the thread of the caller."""
    try:
        stack.up()
        say_ready()
        stack.watch()
    finally:
        stack.down()


def _set_from_thread(event: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(event.set)


async def _unless(trouble: asyncio.Task[None], wanted: Coroutine[Any, Any, T]) -> T:
    """Return what `wanted` returns; when `trouble` comes first, end `wanted` and raise what it raises."""
    task = asyncio.ensure_future(wanted)
    await asyncio.wait((task, trouble), return_when=asyncio.FIRST_COMPLETED)
    if trouble.done():
        task.cancel()
        await asyncio.wait((task,))
        trouble.result()
    return task.result()


def _settings(directory: Path) -> StackSettings:
    return StackSettings(
        stack_dir=directory,
        api_host="127.0.0.1",
        api_port=free_port(),
        mockdex_host="127.0.0.1",
        mockdex_port=free_port(),
        apis=1,
        workers=1,
        database_url=None,
        redis_url=None,
        dex_url=None,
        mock_dex_admin_token=None,
        mock_dex_data_dir=None,
        engine_wallet_key=None,
        env="development",
        metrics_port=None,
    )


def _environ(sink_url: str) -> dict[str, str]:
    """Return the services' environment: a person's, without what belongs to another stack, with traces to the sink."""
    kept = {
        name: value for name, value in os.environ.items() if name not in _NOT_PASSED and not name.startswith("OTEL")
    }
    return {
        **kept,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink_url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",  # ms: the person is waiting for the trace
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }
