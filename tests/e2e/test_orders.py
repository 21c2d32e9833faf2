"""An order as its user meets it: by REST, from `POST` to a swap in the chain's ledger."""

from support.running_stack import RunningStack


def test_an_order_is_confirmed_on_the_better_venue_and_stands_once_in_the_ledger(stack: RunningStack) -> None:
    """The snapshot, the history and the chain tell the same story."""
    placed = stack.place(amountIn="2.25", userWallet="alice")
    order = stack.finished(placed["orderId"])

    quotes = {quote["venue"]: float(quote["amountOut"]) for quote in order["routing"]["quotes"]}
    assert order["status"] == "confirmed"
    assert order["venue"] == order["routing"]["chosen"] == max(quotes, key=lambda venue: quotes[venue])

    events = stack.events(order["orderId"])
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["status"] for event in events] == ["queued", "routing", "building", "submitted", "confirmed"]
    assert [event["previousStatus"] for event in events] == [None, "queued", "routing", "building", "submitted"]
    assert events[3]["txHash"] == events[4]["txHash"] == order["txHash"]

    landed = [row for row in stack.ledger() if row["orderId"] == order["orderId"]]
    assert [(row["signature"], row["error"], row["attempt"]) for row in landed] == [(order["txHash"], None, 1)]
    assert int(landed[0]["amountOut"]) == round(float(order["amountOut"]) * 10**6)


def test_a_pending_order_waits_until_it_is_executed(stack: RunningStack) -> None:
    """`POST /api/orders` only stores; executing it twice is one execution."""
    answer = stack.post("/api/orders", {"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": 300})
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    order_id = answer.json()["orderId"]

    assert stack.post(f"/api/orders/{order_id}/execute", None).status_code == 202
    stack.finished(order_id)
    assert stack.post(f"/api/orders/{order_id}/execute", None).status_code == 409
    assert [event["status"] for event in stack.events(order_id)][:3] == ["pending", "queued", "routing"]


def test_a_failing_swap_is_tried_three_times_each_with_its_reason(stack: RunningStack) -> None:
    """Every landing stays in the ledger; nothing is exchanged; the order says why."""
    stack.set_dex(failure_rate=1)
    try:
        order = stack.finished(stack.place()["orderId"])
    finally:
        stack.set_dex(failure_rate=0)

    events = stack.events(order["orderId"])
    retries = [event for event in events if event["type"] == "retrying"]
    assert (order["status"], order["errorCode"], order["attempt"]) == ("failed", "swap_failed", 3)
    assert [event["data"]["failedAttempt"] for event in retries] == [1, 2]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    landed = [row for row in stack.ledger() if row["orderId"] == order["orderId"]]
    assert [(row["error"], row["attempt"]) for row in landed] == [(6000, 1), (6000, 2), (6000, 3)]


def test_a_floor_nobody_pays_fails_the_order_without_a_transaction(stack: RunningStack) -> None:
    """The user's own minimum is kept for every attempt."""
    order = stack.finished(stack.place(amountIn="1", minAmountOut="1000000")["orderId"])
    assert (order["status"], order["errorCode"], order["txHash"]) == ("failed", "slippage_exceeded", None)
    assert order["minAmountOut"] == "1000000"
    assert not [row for row in stack.ledger() if row["orderId"] == order["orderId"]]


def test_one_venue_away_leaves_the_other_to_win(stack: RunningStack) -> None:
    """A venue's failure is part of the routing's story, not of the order's fate."""
    stack.set_dex(quote_error_rate_meteora=1)
    try:
        order = stack.finished(stack.place()["orderId"])
    finally:
        stack.set_dex(quote_error_rate_meteora=0)
    assert (order["status"], order["venue"]) == ("confirmed", "raydium")
    assert order["routing"]["reason"] == "only venue that quoted"
    assert next(quote["error"] for quote in order["routing"]["quotes"] if quote["venue"] == "meteora")
