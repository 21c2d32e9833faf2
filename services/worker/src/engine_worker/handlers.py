"""One handler a state: each looks at an order and returns the one move that advances it, or raises why it cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine_common.errors import NoLiquidity, Unreachable
from engine_common.orders import Order
from engine_common.store.door import Move, SignedSwap, from_order
from engine_common.telemetry import tracing
from engine_common.tokens import execution_price, to_display
from engine_common.transitions import Status
from engine_worker import measurements
from engine_worker.confirmation import Confirmations
from engine_worker.ports import Chain, Clock, Quote, QuoteRequest, Signer, Store, Venue
from engine_worker.routing import Answer, choose

log = logging.getLogger(__name__)


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
    request = QuoteRequest(order.input_token, order.output_token, order.amount_in, order.slippage_bps)
    answers = await asyncio.gather(*(_ask(venue, request, tools.clock) for venue in tools.venues))
    chosen = choose(order, answers)
    data: Mapping[str, Any] = {
        "venue": chosen.quote.venue,
        "minAmountOut": to_display(chosen.floor, order.output_token),
        "routing": chosen.document,
    }
    return from_order(
        order,
        Status.BUILDING,
        venue=chosen.quote.venue,
        pool=chosen.quote.pool,
        routing=orjson.dumps(chosen.document).decode(),
        floor=chosen.floor,
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

    `swap` is what this process committed; after a recovery it is read back. Raises the chain's Verdict, Unreachable.
    """
    swap = swap or await tools.store.read_attempt(order.id, order.attempt)
    if swap is None:
        raise LookupError(f"order {order.id} is submitted, and attempt {order.attempt} has no signed swap")
    tracing.annotate("solana.signature", swap.signature)
    await tools.confirmations.settle(swap)
    paid = await tools.chain.paid_out(swap.signature, order.output_token.mint)
    if paid <= 0:
        raise Unreachable(f"the node shows no output of transaction {swap.signature} yet")
    data = {
        "txHash": swap.signature,
        "executionPrice": execution_price(order.amount_in, order.input_token, paid, order.output_token),
        "amountOut": to_display(paid, order.output_token),
    }
    return from_order(order, Status.CONFIRMED, amount_out=paid, outcome="confirmed", data=data)


HANDLERS: Mapping[Status, Handler] = {
    Status.QUEUED: start,
    Status.ROUTING: route,
    Status.BUILDING: build,
    Status.SUBMITTED: confirm,
}
