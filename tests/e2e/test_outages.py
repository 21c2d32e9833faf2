"""Processes die while orders run: nothing is lost, nothing is done twice, nobody has to do anything."""

import signal
import threading
from collections.abc import Iterator

import pytest
import requests

from support.running_stack import RunningStack, eventually, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run a system whose swaps take long enough to be interrupted, and whose leases are short."""
    with running_stack(
        tmp_path_factory.mktemp("stack"),
        MOCK_DEX_EXECUTION_DELAY_MS="400",
        MOCK_DEX_FAILURE_RATE="0.1",
        ENGINE_LEASE_S="3",
        WORKERS="2",
    ) as stack:
        yield stack


class Load:
    """Places orders one after another in a thread and keeps the ids of those that were accepted."""

    def __init__(self, stack: RunningStack) -> None:
        self.accepted: list[str] = []
        self.refused: list[dict[str, object]] = []
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        eventually(lambda: len(self.accepted) >= 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, orders: int = 20) -> None:
        """Wait until so many more orders were accepted."""
        goal = len(self.accepted) + orders
        eventually(lambda: len(self.accepted) >= goal)

    def _run(self) -> None:
        body = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"}
        while not self._stop.wait(0.01):
            try:
                answer = self._stack.post("/api/orders/execute", body)
            except requests.ConnectionError:
                continue
            if answer.status_code == 202:
                self.accepted.append(answer.json()["orderId"])
            else:
                self.refused.append(answer.json())


def assert_nothing_lost(stack: RunningStack, load: Load) -> None:
    """Every accepted order is finished and stored, and the chain agrees."""
    assert "lost 0, doubled 0, unexplained 0" in stack.settled(within_s=90)
    for order_id in load.accepted:
        assert stack.order(order_id)["status"] in ("confirmed", "failed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("victim", ["api", "worker-1", "mockdex", "postgres", "valkey"])
def test_orders_survive_the_end_of_any_process(stack: RunningStack, victim: str, number: signal.Signals) -> None:
    """Asked to stop or killed, under load: every accepted order ends, and the audit is clean."""
    before = stack.pid(victim)
    if victim == "postgres" and number is signal.SIGTERM:
        number = signal.SIGINT  # its SIGTERM waits until every client has gone by itself
    with Load(stack) as load:
        stack.signal(victim, number)
        eventually(lambda: stack.started_again(victim, before))
        load.more()
    assert_nothing_lost(stack, load)
    assert {refusal["status"] for refusal in load.refused} <= {503}


def test_a_killed_workers_orders_go_on_at_the_other_one_and_say_so(stack: RunningStack) -> None:
    """Recovery is an event of the order's history, and costs no attempt."""
    stack.set_dex(execution_delay_ms=3000, failure_rate=0)
    try:
        placed = [stack.place()["orderId"] for _ in range(20)]
        eventually(lambda: all(stack.order(order_id)["status"] == "submitted" for order_id in placed))
        stack.signal("worker-1", signal.SIGKILL)
        orders = [stack.finished(order_id) for order_id in placed]
    finally:
        stack.set_dex(execution_delay_ms=400, failure_rate=0.1)

    assert {(order["status"], order["attempt"]) for order in orders} == {("confirmed", 1)}
    histories = [stack.events(order_id) for order_id in placed]
    recovered = [history for history in histories if any(event["type"] == "recovered" for event in history)]
    assert recovered, "the killed worker had carried none of 20 orders"
    for history in histories:
        assert [event["seq"] for event in history] == list(range(1, len(history) + 1))
    assert "lost 0, doubled 0, unexplained 0" in stack.settled()


def test_without_postgres_nothing_is_accepted_and_service_returns_by_itself(stack: RunningStack) -> None:
    """503 with Retry-After while it is away, then 202 again without anybody's help."""
    stack.signal_family("postgres", signal.SIGSTOP)
    try:
        answer = stack.post("/api/orders/execute", {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})
    finally:
        stack.signal_family("postgres", signal.SIGCONT)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["code"] in ("unavailable", "outcome_unknown")
    eventually(lambda: stack.post("/api/orders/execute", {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"}).ok)
    stack.settled()
