"""What can be asked for over a WebSocket: the events of an order, of a wallet, or an order of the socket's own."""

import asyncio
from functools import partial
from uuid import UUID

import orjson
from starlette.websockets import WebSocketDisconnect

from engine_api import parameters, problems
from engine_api.access.caller import account_of, caller_of
from engine_api.access.quotas import Use
from engine_api.access_log import bind_order
from engine_api.bodies import decode, parse_json
from engine_api.boundary import as_refusal
from engine_api.intake.idempotency import HEADER, read_key, take_key
from engine_api.intake.order_body import read_terms
from engine_api.order_book import WalletName
from engine_api.order_ids import read_order_id
from engine_api.parameters import Parameters
from engine_api.problems import INVALID_PARAMETER, NOT_FOUND, FieldError, Refusal, invalid
from engine_api.streams.order_stream import stream_order
from engine_api.streams.outlet import Outlet
from engine_api.streams.session import FINISHED, Farewell, Socket, farewell_of, send_text, serving, until_gone
from engine_api.streams.wallet_stream import stream_wallet
from engine_common.errors import StoreUnavailable
from engine_common.store.pool import TROUBLE
from engine_common.transitions import Status


@serving
async def order_events(socket: Socket) -> Farewell:
    """Stream the events of the order in the path."""
    return await _stream(socket, socket.path_params["id"])


@serving
async def execute(socket: Socket) -> Farewell:
    """Stream the events of the order in the query, or of the one that the first message describes."""
    order_ids = socket.query_params.getlist("orderId")
    if len(order_ids) > 1:
        raise invalid(INVALID_PARAMETER, [FieldError("orderId", "must be given once")])
    if order_ids:
        return await _stream(socket, order_ids[0])
    try:
        _check_beginning(socket)  # before anything is stored: a client that is refused may send the order again
        placed = await _place(socket)
    except (Refusal, StoreUnavailable) as error:
        return await _explained(socket, error)
    try:
        return await _stream(socket, str(placed))
    except TROUBLE:
        return await _explained(socket, _accepted_unread(placed))


@serving
async def wallet_events(socket: Socket) -> Farewell:
    """Stream the events of all orders of the wallet in the query."""
    query = Parameters(socket)
    name = query.read_one_of(parameters.WALLETS)
    since = query.read(parameters.SINCE)
    query.check()
    if name is None:
        raise invalid(INVALID_PARAMETER, [FieldError("wallet", "must be given")])
    wallet = WalletName(account_of(socket), name)
    await until_gone(
        socket, stream_wallet(_outlet(socket), socket.state["orders"], wallet, since, socket.state["id_margin_s"])
    )
    return Farewell(FINISHED)


async def _explained(socket: Socket, error: Exception) -> Farewell:
    """Send the problem document that HTTP would answer with, and return how the socket ends."""
    problem = problems.document(as_refusal(error, socket.scope))
    await send_text(socket, orjson.dumps(problem).decode())
    return farewell_of(error, socket)


def _accepted_unread(order_id: UUID) -> Refusal:
    """Return what is said of an order that is stored but whose events cannot be read: sent again, it would be two."""
    return Refusal(
        problems.OUTCOME_UNKNOWN,
        f"the order was accepted, but cannot be read now: look it up, or follow /ws/orders/{order_id}",
        members={"orderId": str(order_id)},
    )


def _after(socket: Socket) -> int:
    """Return the position behind which the stream begins. Raises Refusal."""
    query = Parameters(socket)
    after = query.read(parameters.AFTER) or 0
    query.check()
    return after


def _check_beginning(socket: Socket) -> None:
    """Refuse any position but the beginning: an order that is yet to be made has no other. Raises Refusal."""
    if _after(socket) > 0:
        raise invalid(INVALID_PARAMETER, [FieldError("after", "must be 0 or left out: the order is yet to be made")])


async def _stream(socket: Socket, order_id: str) -> Farewell:
    after = _after(socket)
    bind_order(_as_id(order_id))
    await until_gone(
        socket, stream_order(_outlet(socket), socket.state["orders"], account_of(socket), _as_id(order_id), after)
    )
    return Farewell(FINISHED)


async def _place(socket: Socket) -> UUID:
    """Create and queue the order that the first message describes. Raises Refusal and StoreUnavailable."""
    body = parse_json(await _first_message(socket))
    key = take_key(body, read_key(socket.headers.getlist(HEADER)))
    await socket.state["doors"].quotas.require(caller_of(socket), Use.WRITES)
    placed = await socket.state["placement"].place(account_of(socket), read_terms(body), key, Status.QUEUED)
    return placed.order.id


async def _first_message(socket: Socket) -> str:
    patience_s = socket.state["client_patience_s"]
    try:
        async with asyncio.timeout(patience_s):
            message = await socket.receive()
    except TimeoutError:
        raise Refusal(problems.REQUEST_TIMEOUT, f"the order did not come within {patience_s:g} s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text = message.get("text")
    return decode(message["bytes"]) if text is None else text


def _outlet(socket: Socket) -> Outlet:
    return Outlet(partial(send_text, socket), socket.state["hub"], socket.state["missed"])


def _as_id(text: str) -> UUID:
    try:
        return read_order_id(text)
    except ValueError:
        raise Refusal(NOT_FOUND, "there is no such order") from None
