"""Every route of the api; the busiest come first, because the router tries them in order."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel
from starlette.routing import BaseRoute

from engine_api import order_ids, parameters, problems
from engine_api.contract import schemas
from engine_api.contract.operations import ApiRoute, Operation, SocketRoute
from engine_api.routes import contract, health, orders
from engine_api.streams import sockets

order_ids.register()


def _placing(status: int, *further: problems.Kind) -> Operation:
    return Operation(
        answers={status: schemas.OrderDocument},
        refusals=(
            problems.NOT_JSON,
            problems.TOO_LARGE,
            problems.UNSUPPORTED_MEDIA_TYPE,
            problems.UNSUPPORTED_CODING,
            problems.INVALID_ORDER,
            problems.UNSUPPORTED_TYPE,
            problems.INVALID_PARAMETER,
            problems.KEY_REUSED,
            problems.UNAVAILABLE,
            problems.OVERLOADED,
            problems.OUTCOME_UNKNOWN,
            *further,
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


def _listing(wallets: Sequence[parameters.Parameter[str]], *further: problems.Kind) -> Operation:
    return Operation(
        answers={200: schemas.OrderPage},
        refusals=(problems.INVALID_PARAMETER, problems.UNAVAILABLE, *further),
        parameters=(*wallets, parameters.STATUS, parameters.ORDER_TYPE, parameters.LIMIT, parameters.CURSOR),
    )


def _probing(answers: Mapping[int, type[BaseModel]]) -> Operation:
    return Operation(answers, public=True, any_query=True)


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
    ApiRoute("POST", "/api/orders", orders.create, _placing(201, problems.TOO_MANY_PENDING)),
    ApiRoute("GET", "/api/orders/{id:order_id}", orders.read, _reading(schemas.OrderDocument)),
    ApiRoute("POST", "/api/orders/{id:order_id}/execute", orders.execute, _EXECUTING),
    ApiRoute("POST", "/api/orders/{id:order_id}/cancel", orders.cancel, _CANCELLING),
    ApiRoute("GET", "/api/orders/{id:order_id}/events", orders.history, _reading(schemas.History)),
    ApiRoute("GET", "/api/orders", orders.list_orders, _listing(parameters.WALLETS)),
    ApiRoute(
        "GET",
        "/api/orders/user/{wallet:segment}",
        orders.list_wallet_orders,
        _listing((parameters.WALLET_IN_PATH,), problems.NOT_FOUND),
    ),
    ApiRoute("GET", "/livez", health.livez, _probing({200: schemas.Alive})),
    ApiRoute("GET", "/readyz", health.readyz, _probing({200: schemas.Readiness, 503: schemas.Readiness})),
    ApiRoute("GET", "/health", health.health, _probing({200: schemas.Report})),
    ApiRoute("GET", "/openapi.json", contract.openapi, Operation({200: None}, public=True)),
    SocketRoute(
        "/ws/orders/{id:segment}", sockets.order_events, (parameters.ORDER_ID_IN_PATH, parameters.AFTER), _FOLLOWING
    ),
    SocketRoute(
        "/api/orders/execute",
        sockets.execute,
        (parameters.ORDER_ID, parameters.AFTER),
        _EXECUTING_HERE,
        schemas.FirstMessage,
    ),
    SocketRoute(
        "/ws",
        sockets.wallet_events,
        (*parameters.WALLETS, parameters.SINCE),
        (problems.INVALID_PARAMETER,),
    ),
]
