"""Every route of the api; the busiest come first, because the router tries them in order."""

from starlette.routing import BaseRoute, Route, WebSocketRoute

from engine_api.routes import health, orders
from engine_api.streams import sockets

ROUTES: list[BaseRoute] = [
    Route("/api/orders/execute", orders.create_and_execute, methods=["POST"]),
    Route("/orders", orders.create_and_execute, methods=["POST"], name="create_and_execute_as_before"),
    Route("/api/orders", orders.create, methods=["POST"]),
    Route("/api/orders/{id:uuid}", orders.read),
    Route("/api/orders/{id:uuid}/execute", orders.execute, methods=["POST"]),
    Route("/api/orders/{id:uuid}/events", orders.history),
    Route("/api/orders", orders.list_orders),
    Route("/api/orders/user/{wallet:path}", orders.list_wallet_orders),
    WebSocketRoute("/ws/orders/{id}", sockets.order_events),
    WebSocketRoute("/api/orders/execute", sockets.execute),
    WebSocketRoute("/ws", sockets.wallet_events),
    Route("/livez", health.livez),
    Route("/readyz", health.readyz),
    Route("/health", health.health),
]
