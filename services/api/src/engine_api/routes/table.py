"""Every route of the api; the busiest come first, because the router tries them in order."""

from pydantic import BaseModel
from starlette.routing import BaseRoute

from engine_api import parameters, problems
from engine_api.contract import schemas
from engine_api.contract.operations import ApiRoute, Operation, SocketRoute
from engine_api.routes import contract, health, orders
from engine_api.streams import sockets


def _placing(status: int) -> Operation:
    return Operation(
        answers={status: schemas.OrderDocument},
        refusals=(
            problems.NOT_JSON,
            problems.TOO_LARGE,
            problems.UNSUPPORTED_MEDIA_TYPE,
            problems.INVALID_ORDER,
            problems.UNSUPPORTED_TYPE,
            problems.INVALID_PARAMETER,
            problems.KEY_REUSED,
            problems.UNAVAILABLE,
            problems.OVERLOADED,
            problems.OUTCOME_UNKNOWN,
        ),
        parameters=(parameters.IDEMPOTENCY_KEY,),
        body=schemas.OrderBody,
        headers=("Location", "Idempotency-Replayed"),
    )


def _reading(answer: type[BaseModel]) -> Operation:
    return Operation(
        answers={200: answer},
        refusals=(problems.NOT_FOUND, problems.UNAVAILABLE),
        parameters=(parameters.ORDER_ID_IN_PATH,),
    )


def _listing(wallet: parameters.Parameter[str], *further: problems.Kind) -> Operation:
    return Operation(
        answers={200: schemas.OrderPage},
        refusals=(problems.INVALID_PARAMETER, problems.UNAVAILABLE, *further),
        parameters=(wallet, parameters.STATUS, parameters.ORDER_TYPE, parameters.LIMIT, parameters.CURSOR),
    )


_EXECUTING = Operation(
    answers={202: schemas.OrderDocument},
    refusals=(
        problems.NOT_FOUND,
        problems.ALREADY_FINISHED,
        problems.CONTENDED,
        problems.UNAVAILABLE,
        problems.OVERLOADED,
        problems.OUTCOME_UNKNOWN,
    ),
    parameters=(parameters.ORDER_ID_IN_PATH,),
    headers=("Location",),
)

_CANCELLING = Operation(
    answers={200: schemas.OrderDocument, 202: schemas.OrderDocument},
    refusals=(
        problems.NOT_FOUND,
        problems.ALREADY_FINISHED,
        problems.CONTENDED,
        problems.UNAVAILABLE,
        problems.OUTCOME_UNKNOWN,
    ),
    parameters=(parameters.ORDER_ID_IN_PATH,),
)

_FOLLOWING = (problems.NOT_FOUND, problems.INVALID_PARAMETER)
_EXECUTING_HERE = (*_FOLLOWING, problems.REQUEST_TIMEOUT, *_placing(202).refusals)

ROUTES: list[BaseRoute] = [
    ApiRoute("POST", "/api/orders/execute", orders.create_and_execute, _placing(202)),
    ApiRoute("POST", "/orders", orders.create_and_execute, _placing(202), name="create_and_execute_as_before"),
    ApiRoute("POST", "/api/orders", orders.create, _placing(201)),
    ApiRoute("GET", "/api/orders/{id:uuid}", orders.read, _reading(schemas.OrderDocument)),
    ApiRoute("POST", "/api/orders/{id:uuid}/execute", orders.execute, _EXECUTING),
    ApiRoute("POST", "/api/orders/{id:uuid}/cancel", orders.cancel, _CANCELLING),
    ApiRoute("GET", "/api/orders/{id:uuid}/events", orders.history, _reading(schemas.History)),
    ApiRoute("GET", "/api/orders", orders.list_orders, _listing(parameters.WALLET)),
    ApiRoute(
        "GET",
        "/api/orders/user/{wallet:path}",
        orders.list_wallet_orders,
        _listing(parameters.WALLET_IN_PATH, problems.NOT_FOUND),
    ),
    ApiRoute("GET", "/livez", health.livez, Operation({200: schemas.Alive}, public=True)),
    ApiRoute("GET", "/readyz", health.readyz, Operation({200: schemas.Readiness, 503: schemas.Readiness}, public=True)),
    ApiRoute("GET", "/health", health.health, Operation({200: schemas.Report}, public=True)),
    ApiRoute("GET", "/openapi.json", contract.openapi, Operation({200: None}, public=True)),
    SocketRoute("/ws/orders/{id}", sockets.order_events, (parameters.ORDER_ID_IN_PATH, parameters.AFTER), _FOLLOWING),
    SocketRoute("/api/orders/execute", sockets.execute, (parameters.ORDER_ID, parameters.AFTER), _EXECUTING_HERE),
    SocketRoute(
        "/ws",
        sockets.wallet_events,
        (parameters.WALLET, parameters.USER_ID, parameters.SINCE),
        (problems.INVALID_PARAMETER,),
    ),
]
