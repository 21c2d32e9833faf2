"""The order object of the public interface."""

from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from engine_common import tokens
from engine_common.orders import Order, timestamp
from engine_common.tokens import Token


class JsonResponse(Response):
    """An answer whose body is JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the body."""
        return orjson.dumps(content)


def _displayed(amount: int | None, token: Token) -> str | None:
    return None if amount is None else tokens.to_display(amount, token)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)


def order_document(order: Order) -> dict[str, Any]:
    """Return the order object; its `routing` is JSON already."""
    token_in = order.input_token
    token_out = order.output_token
    amount_out = order.amount_out
    created_at = timestamp(order.created_at)
    price = None
    if amount_out is not None:
        price = tokens.execution_price(order.amount_in, token_in, amount_out, token_out)
    return {
        "orderId": str(order.id),
        "status": order.status,
        "type": order.type,
        "tokenIn": order.token_in,
        "tokenOut": order.token_out,
        "amountIn": tokens.to_display(order.amount_in, token_in),
        "slippageBps": order.slippage_bps,
        "minAmountOut": _displayed(order.min_amount_out, token_out),
        "effectiveMinAmountOut": _displayed(order.effective_min_amount_out, token_out),
        "userWallet": order.user_wallet,
        "venue": order.venue,
        "amountOut": _displayed(amount_out, token_out),
        "executionPrice": price,
        "txHash": order.tx_hash,
        "attempt": order.attempt,
        "errorCode": order.error_code,
        "errorReason": order.error_reason,
        "version": order.version,
        "traceId": order.traceparent.split("-")[1],
        "routing": None if order.routing is None else orjson.Fragment(order.routing),
        "cancelRequestedAt": _moment(order.cancel_requested_at),
        "landedAt": _moment(order.landed_at),
        "createdAt": created_at,
        # A new order, which most answers show, has one moment for both.
        "updatedAt": created_at if order.updated_at is order.created_at else timestamp(order.updated_at),
    }
