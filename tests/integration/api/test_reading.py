"""Reading orders, their histories, and lists of them in pages."""

from typing import Any
from uuid import UUID

from engine_common.transitions import Status
from integration.api.running_api import RunningApi
from integration.api.worker_double import TO_CONFIRMED, WorkerDouble


async def test_a_confirmed_order_shows_route_price_and_transaction(api: RunningApi, worker: WorkerDouble) -> None:
    """Decimals are strings, and the route is the document that the worker wrote."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED)
    document = (await api.get(f"/api/orders/{order_id}")).json
    assert document["txHash"].startswith("signature-")
    expected = {
        "status": "confirmed",
        "version": 5,
        "venue": "raydium",
        "amountIn": "1.5",
        "amountOut": "222.913001",
        "executionPrice": "148.608667333",
        "minAmountOut": None,
        "effectiveMinAmountOut": "221.798437",
        "errorCode": None,
    }
    assert document.items() >= expected.items()
    assert document["routing"]["quotes"][0]["amountOut"] == "222.913001"
    assert document["createdAt"] < document["updatedAt"]


async def test_a_failed_order_says_why(api: RunningApi, worker: WorkerDouble) -> None:
    """By a code for machines and a reason for people."""
    order_id = await api.place()
    await worker.move(order_id, Status.ROUTING, Status.FAILED)
    document = (await api.get(f"/api/orders/{order_id}")).json
    assert (document["status"], document["errorCode"], document["errorReason"]) == (
        "failed",
        "no_liquidity",
        "no venue",
    )


async def test_the_history_is_everything_in_order(api: RunningApi, worker: WorkerDouble) -> None:
    """Transaction and price stand also at the top level of the event that brings them."""
    order_id = await api.place()
    await worker.move(order_id, *TO_CONFIRMED)
    events = (await api.get(f"/api/orders/{order_id}/events")).json["data"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["status"] for event in events] == ["queued", "routing", "building", "submitted", "confirmed"]
    assert [event["previousStatus"] for event in events] == [None, "queued", "routing", "building", "submitted"]
    assert {event["orderId"] for event in events} == {str(order_id)}
    assert events[3]["txHash"] == events[3]["data"]["txHash"]
    assert events[4]["executionPrice"] == "148.608667333"
    assert events[4]["timestamp"].endswith("Z")


async def pages(api: RunningApi, path: str) -> list[list[dict[str, Any]]]:
    """Read page after page."""
    read: list[list[dict[str, Any]]] = []
    cursor = None
    while cursor is not None or not read:
        page = (await api.get(path + (f"&cursor={cursor}" if cursor else ""))).json
        read.append(page["data"])
        cursor = page["nextCursor"]
    return read


async def test_pages_show_every_order_once_newest_first(api: RunningApi, wallet: str) -> None:
    """Orders that come in between do not shift what is still to be read."""
    placed = [await api.place(userWallet=wallet) for _ in range(7)]
    first = (await api.get(f"/api/orders?wallet={wallet}&limit=3")).json
    await api.place(userWallet=wallet)
    second = (await api.get(f"/api/orders?wallet={wallet}&limit=3&cursor={first['nextCursor']}")).json
    third = (await api.get(f"/api/orders?wallet={wallet}&limit=3&cursor={second['nextCursor']}")).json
    read = [UUID(order["orderId"]) for page in (first, second, third) for order in page["data"]]
    assert read == placed[::-1]
    assert third["nextCursor"] is None


async def test_a_last_page_that_is_full_is_the_last(api: RunningApi, wallet: str) -> None:
    """No cursor leads to an empty page."""
    for _ in range(4):
        await api.place(userWallet=wallet)
    assert [len(page) for page in await pages(api, f"/api/orders?wallet={wallet}&limit=2")] == [2, 2]


async def test_lists_can_be_filtered(api: RunningApi, wallet: str, worker: WorkerDouble) -> None:
    """By wallet, state and type, all at once."""
    pending = await api.place("/api/orders", userWallet=wallet)
    queued = await api.place(userWallet=wallet)
    done = await api.place(userWallet=wallet)
    await worker.move(done, *TO_CONFIRMED)

    async def found(query: str) -> list[UUID]:
        answer = await api.get(f"/api/orders?wallet={wallet}&{query}")
        return [UUID(order["orderId"]) for order in answer.json["data"]]

    assert await found("") == [done, queued, pending]
    assert await found("status=pending") == [pending]
    assert await found("status=confirmed&type=MARKET") == [done]
    assert await found("status=failed") == []


async def test_a_wallets_orders_have_an_address_of_their_own(api: RunningApi, wallet: str) -> None:
    """The same pages; a wallet may hold any printable character."""
    name = f"a/b c?{wallet}"[:64]
    placed = [await api.place(userWallet=name) for _ in range(2)]
    quoted = name.replace("/", "%2F").replace(" ", "%20").replace("?", "%3F")
    page = (await api.get(f"/api/orders/user/{quoted}?limit=50")).json
    assert [UUID(order["orderId"]) for order in page["data"]] == placed[::-1]
    assert page["nextCursor"] is None
    assert (await api.get("/api/orders/user/nobody-at-all")).json == {"data": [], "nextCursor": None}


async def test_a_page_has_fifty_orders_unless_asked_otherwise(api: RunningApi, wallet: str) -> None:
    """And HEAD answers like GET, without the body."""
    for _ in range(51):
        await api.place(userWallet=wallet)
    answer = await api.get(f"/api/orders?wallet={wallet}")
    assert len(answer.json["data"]) == 50
    head = await api.ask("HEAD", f"/api/orders?wallet={wallet}")
    assert (head.status, head.text) == (200, "")
