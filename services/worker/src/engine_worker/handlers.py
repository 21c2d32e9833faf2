"""One handler a state: each looks at an order and returns the one move that advances it, or raises why it cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine_common.errors import NoLiquidity, Unreachable
from engine_common.orders import EventType, Order
from engine_common.store.door import Move, SignedSwap, from_order, note
from engine_common.telemetry import tracing
from engine_common.tokens import execution_price, to_display
from engine_common.transitions import Status
from engine_worker import measurements
from engine_worker.confirmation import Confirmations
from engine_worker.ports import Chain, Clock, Quote, QuoteRequest, Signer, Store, Venue
from engine_worker.routing import Answer, choose

log = logging.getLogger(__name__)

# Seconds between asking for what a landed swap paid, before the order says that it cannot be read.
_READ_AGAIN_AFTER_S = (0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything a handler may touch, and the handlers themselves."""

    clock: Clock
    store: Store
    venues: Sequence[Venue]
    chain: Chain
    signer: Signer
    confirmations: Confirmations
    handlers: Mapping[Status, "Handler"] = field(default_factory=lambda: HANDLERS)


Handler = Callable[[Order, SignedSwap | None, Tools], Awaitable[Move]]


async def start(order: Order, _swap: SignedSwap | None, _tools: Tools) -> Move:
    """From `queued`: begin."""
    return from_order(order, Status.ROUTING)


async def route(order: Order, _swap: SignedSwap | None, tools: Tools) -> Move:
    """From `routing`: ask every venue at once and take the best. Raises NoLiquidity, SlippageExceeded, Unreachable."""
    request = QuoteRequest(order.input_token, order.output_token, order.amount_in)
    answers = await asyncio.gather(*(_ask(venue, request, tools.clock) for venue in tools.venues))
    chosen = choose(order, answers)
    data: Mapping[str, Any] = {
        "venue": chosen.quote.venue,
        "effectiveMinAmountOut": to_display(chosen.effective_min_amount_out, order.output_token),
        "routing": chosen.document,
    }
    return from_order(
        order,
        Status.BUILDING,
        venue=chosen.quote.venue,
        pool=chosen.quote.pool,
        routing=orjson.dumps(chosen.document).decode(),
        effective_min_amount_out=chosen.effective_min_amount_out,
        data=data,
    )


async def _ask(venue: Venue, request: QuoteRequest, clock: Clock) -> Answer:
    began = clock.monotonic()
    quote: Quote | None = None
    failure: Exception | None = None
    try:
        quote = await venue.quote(request)
    except (NoLiquidity, Unreachable) as error:
        failure = error
    except Exception as error:
        log.exception("%s failed to quote in a way nobody foresaw; the others decide", venue.name)
        failure = error
    took_s = clock.monotonic() - began
    measurements.record_quote(venue.name, took_s, failure)
    return Answer(venue.name, round(took_s * 1000), quote, failure)


async def build(order: Order, _swap: SignedSwap | None, tools: Tools) -> Move:
    """From `building`: sign the swap; the move commits its signature before anything is sent. Raises Unreachable."""
    swap = tools.signer.sign(order, await tools.chain.latest_blockhash())
    return from_order(order, Status.SUBMITTED, swap=swap, data={"txHash": swap.signature})


async def confirm(order: Order, swap: SignedSwap | None, tools: Tools) -> Move:
    """From `submitted`: send what was committed until the chain has decided, and read what the swap paid.

    `swap` is what this process committed; after a recovery it is read back. An order whose swap has landed while no
    node shows what it paid says so, once, and goes on asking. Raises the chain's Verdict, Unreachable.
    """
    swap = swap or await tools.store.read_attempt(order.id, order.attempt)
    if swap is None:
        raise LookupError(f"order {order.id} is submitted, and attempt {order.attempt} has no signed swap")
    tracing.annotate("solana.signature", swap.signature)
    await tools.confirmations.settle(swap)
    try:
        received = await _received_amount(order, swap, tools)
    except Unreachable:
        if order.landed_at is not None:
            raise
        return note(order, EventType.LANDED, {"txHash": swap.signature})
    data = {
        "txHash": swap.signature,
        "executionPrice": execution_price(order.amount_in, order.input_token, received, order.output_token),
        "amountOut": to_display(received, order.output_token),
    }
    return from_order(order, Status.CONFIRMED, amount_out=received, outcome="confirmed", data=data)


async def _received_amount(order: Order, swap: SignedSwap, tools: Tools) -> int:
    """Return what the landed swap brought its signer; ask again for a while, since nodes show it a little later."""
    signer = swap.signer or tools.signer.signer_of(swap.transaction)
    pauses = iter(_READ_AGAIN_AFTER_S if order.landed_at is None else ())
    while True:
        try:
            received = await tools.chain.received_amount(swap.signature, order.output_token.mint, signer)
            reason = Unreachable(f"the node shows no output of transaction {swap.signature} for {signer} yet")
        except Unreachable as error:
            received, reason = 0, error
        if received > 0:
            return received
        pause_s = next(pauses, None)
        if pause_s is None:
            raise reason
        await tools.clock.sleep(pause_s)


HANDLERS: Mapping[Status, Handler] = {
    Status.QUEUED: start,
    Status.ROUTING: route,
    Status.BUILDING: build,
    Status.SUBMITTED: confirm,
}
