"""What each code of a problem means and what a client does about it: the reference of HTTP and WebSocket errors."""

from collections.abc import Mapping
from typing import NamedTuple


class Explanation(NamedTuple):
    """The meaning of a code, and what the client does."""

    meaning: str
    advice: str


EXPLANATIONS: Mapping[str, Explanation] = {
    "not_json": Explanation(
        "The body or the first message is not JSON, not UTF-8, or has the same name twice in one object.",
        "Correct the request. `detail` says where it ends to be JSON.",
    ),
    "malformed_request": Explanation(
        "The request is not well-formed HTTP, has no or several `Host` headers, or is a malformed handshake.",
        "Correct the client or the proxy. The connection is closed.",
    ),
    "unexpected_message": Explanation(
        "A message came on a WebSocket that only streams events now. The message was not read; the stream goes on.",
        "Place a further order on another WebSocket or by `POST`.",
    ),
    "unauthorized": Explanation(
        "The API key is missing, unknown or revoked, or two different keys were given.",
        "Send one valid key. Ask the operator for a key if you have none.",
    ),
    "not_found": Explanation(
        "There is no such address, or the account has no such order.",
        "Check the address and the order id. An order of another account is not visible.",
    ),
    "method_not_allowed": Explanation(
        "The address exists, but does not have this method.", "Use one of the methods that `Allow` lists."
    ),
    "request_timeout": Explanation(
        "The head, the body or the first message did not arrive in time. Nothing was stored.",
        "Repeat the request, and send it in one go.",
    ),
    "already_finished": Explanation(
        "The order is in a terminal state, so it can be neither executed nor cancelled.",
        "Read the order. Place a new one if you still want the swap.",
    ),
    "contended": Explanation(
        "The order changed several times while the request was processed. The request changed nothing.",
        "Read the order, then repeat the request if it is still needed.",
    ),
    "too_large": Explanation("The body has more than 64 KiB.", "Send a smaller body. An order needs less than 1 kB."),
    "unsupported_media_type": Explanation(
        "The `Content-Type` is not `application/json`.", "Send JSON, and say so in `Content-Type`."
    ),
    "unsupported_content_encoding": Explanation(
        "The body has a `Content-Encoding`. Compressed bodies are not read.",
        "Send the body uncompressed, without `Content-Encoding`.",
    ),
    "invalid_order": Explanation(
        "Fields of the order are missing, unknown or wrong. `errors` names each of them.",
        "Correct the fields, then send the order again. The idempotency key is still free.",
    ),
    "unsupported_type": Explanation(
        "The order's `type` is not supported by this version.", "Use one of the types that `errors` lists."
    ),
    "invalid_parameter": Explanation(
        "A query parameter, a path parameter, a header or the idempotency key is unknown, repeated or wrong.",
        "Correct what `errors` names. Parameters that an address does not have are refused.",
    ),
    "idempotency_key_reused": Explanation(
        "The idempotency key belongs to another order, or to the other operation (create, create and execute).",
        "Use a new key for a new order. Use the same body and address to repeat an old one.",
    ),
    "upgrade_required": Explanation(
        "A plain `GET` was sent to the address of a WebSocket.", "Open the address with a WebSocket client."
    ),
    "rate_limited": Explanation(
        "The API key has used up its rate limit. Nothing was stored.",
        "Wait for the seconds of `Retry-After`, then repeat the request.",
    ),
    "too_many_sockets": Explanation(
        "The account has as many WebSockets open on this api process as it may.",
        "Close WebSockets that you no longer need, or follow a wallet instead of single orders.",
    ),
    "too_many_pending": Explanation(
        "The account has as many `pending` orders as it may. Nothing was stored.",
        "Execute or cancel some of them, then repeat the request.",
    ),
    "head_too_large": Explanation(
        "Request line and headers, or trailers and chunk extensions, have more than 32 KiB.",
        "Send fewer or shorter headers.",
    ),
    "internal_error": Explanation(
        "An unexpected error happened in the engine. Whether something was stored is not known.",
        "Look the order up before you repeat the request. Report the `traceId` to the operator.",
    ),
    "not_implemented": Explanation(
        "The body has a `Transfer-Encoding` other than `chunked`.",
        "Send the body with `Content-Length`, or chunked. The connection is closed.",
    ),
    "unavailable": Explanation(
        "PostgreSQL is unavailable. Nothing was stored.",
        "Wait for the seconds of `Retry-After`, then repeat the request.",
    ),
    "overloaded": Explanation(
        "As many orders as the engine takes are waiting or being executed. Nothing was stored.",
        "Wait for the seconds of `Retry-After`, then repeat the request.",
    ),
    "outcome_unknown": Explanation(
        "PostgreSQL did not answer in time. The order of `orderId` may have been stored or changed.",
        "Look the order up, or repeat the request with the same `Idempotency-Key`. Without a key, do not repeat it.",
    ),
}
