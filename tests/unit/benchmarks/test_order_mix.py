from decimal import Decimal

import orjson
from benchmarks.order_mix import build_requests

from engine_common import tokens


def bodies(requests: list[bytes]) -> list[dict[str, str]]:
    return [orjson.loads(request.partition(b"\r\n\r\n")[2]) for request in requests]


def test_a_seed_always_gives_the_same_requests() -> None:
    """Runs are compared with one another."""
    assert build_requests("127.0.0.1", 1, 50, seed=7) == build_requests("127.0.0.1", 1, 50, seed=7)
    assert build_requests("127.0.0.1", 1, 50, seed=7) != build_requests("127.0.0.1", 1, 50, seed=8)


def test_requests_vary_in_pair_amount_and_wallet() -> None:
    """One hot row or one cached quote would flatter the system."""
    orders = bodies(build_requests("127.0.0.1", 1, 500, seed=1))
    assert len({(order["tokenIn"], order["tokenOut"]) for order in orders}) > 50
    assert len({order["amountIn"] for order in orders}) > 400
    assert len({order["userWallet"] for order in orders}) > 100


def test_every_order_is_one_that_the_engine_takes() -> None:
    """Tokens that it knows, amounts that they can express."""
    for order in bodies(build_requests("127.0.0.1", 1, 1_000, seed=1)):
        token = tokens.TOKENS[order["tokenIn"]]
        assert tokens.to_base_units(Decimal(order["amountIn"]), token) > 0
        assert order["tokenOut"] in tokens.TOKENS
        assert order["tokenIn"] != order["tokenOut"]


def test_a_request_is_complete() -> None:
    """It is sent as it is: the length must be right."""
    head, _, body = build_requests("127.0.0.1", 3000, 1, seed=1)[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/orders/execute HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_all_orders_may_belong_to_one_wallet() -> None:
    """So that one socket sees all their events."""
    orders = bodies(build_requests("127.0.0.1", 1, 20, seed=1, wallet="mine"))
    assert {order["userWallet"] for order in orders} == {"mine"}
