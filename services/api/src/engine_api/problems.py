"""Refusals: every answer that is not a success is one of these kinds, as a problem document (RFC 9457)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from engine_api import request_ids
from engine_common.telemetry import tracing

MEDIA_TYPE = "application/problem+json"

# Seconds; an outage of PostgreSQL that ends is noticed within two.
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a problem document says of every problem of its kind; `retryable`: the same request may succeed later."""

    code: str
    title: str
    status: int
    retryable: bool = False

    @property
    def uri(self) -> str:
        """The identifier of the kind; it is not meant to be fetched."""
        return f"https://example.invalid/problems/{self.code.replace('_', '-')}"


NOT_JSON = Kind("not_json", "Not JSON", 400)
MALFORMED_REQUEST = Kind("malformed_request", "Malformed request", 400)
UNAUTHORIZED = Kind("unauthorized", "Not authorized", 401)
UNEXPECTED_MESSAGE = Kind("unexpected_message", "Unexpected message", 400)
NOT_FOUND = Kind("not_found", "Not found", 404)
METHOD_NOT_ALLOWED = Kind("method_not_allowed", "Method not allowed", 405)
REQUEST_TIMEOUT = Kind("request_timeout", "Request too slow", 408, retryable=True)
ALREADY_FINISHED = Kind("already_finished", "Order already finished", 409)
CONTENDED = Kind("contended", "Order keeps changing", 409, retryable=True)
TOO_LARGE = Kind("too_large", "Request too large", 413)
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported_media_type", "Unsupported media type", 415)
UNSUPPORTED_CODING = Kind("unsupported_content_encoding", "Unsupported content encoding", 415)
INVALID_ORDER = Kind("invalid_order", "Invalid order", 422)
UNSUPPORTED_TYPE = Kind("unsupported_type", "Unsupported order type", 422)
INVALID_PARAMETER = Kind("invalid_parameter", "Invalid parameter", 422)
KEY_REUSED = Kind("idempotency_key_reused", "Idempotency key reused", 422)
UPGRADE_REQUIRED = Kind("upgrade_required", "WebSocket required", 426)
RATE_LIMITED = Kind("rate_limited", "Too many requests", 429, retryable=True)
TOO_MANY_SOCKETS = Kind("too_many_sockets", "Too many sockets", 429, retryable=True)
TOO_MANY_PENDING = Kind("too_many_pending", "Too many pending orders", 429, retryable=True)
HEAD_TOO_LARGE = Kind("head_too_large", "Headers too large", 431)
INTERNAL_ERROR = Kind("internal_error", "Internal error", 500)
NOT_IMPLEMENTED = Kind("not_implemented", "Not implemented", 501)
UNAVAILABLE = Kind("unavailable", "Temporarily unavailable", 503, retryable=True)
OVERLOADED = Kind("overloaded", "Too many unfinished orders", 503, retryable=True)
OUTCOME_UNKNOWN = Kind("outcome_unknown", "Outcome unknown", 503)

KINDS = tuple(value for value in list(globals().values()) if isinstance(value, Kind))


class FieldError(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Refusal(Exception):
    """A request was not carried out; the answer says why."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retryable: bool | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.retryable = kind.retryable if retryable is None else retryable
        self.headers = dict(headers or {})
        self.members = members or {}
        if kind.status == UNAVAILABLE.status:
            self.headers.setdefault("retry-after", str(RETRY_AFTER_S))


def invalid(kind: Kind, errors: Sequence[FieldError]) -> Refusal:
    """Return the refusal of a request for what its fields hold."""
    return Refusal(kind, "; ".join(f"{error.field} {error.message}" for error in errors), errors=errors)


def document(refusal: Refusal) -> dict[str, Any]:
    """Return the problem document; it belongs to the trace that is current."""
    context = tracing.current()
    body: dict[str, Any] = {
        "type": refusal.kind.uri,
        "title": refusal.kind.title,
        "status": refusal.kind.status,
        "detail": refusal.detail,
        "code": refusal.kind.code,
        "retryable": refusal.retryable,
        "traceId": None if context is None else context.trace_id,
        "requestId": request_ids.current_request_id(),
        **refusal.members,
    }
    if refusal.errors:
        body["errors"] = [error._asdict() for error in refusal.errors]
    return body


def answer(refusal: Refusal) -> Response:
    """Return the HTTP answer of the refusal."""
    body = orjson.dumps(document(refusal))
    return Response(body, refusal.kind.status, refusal.headers, MEDIA_TYPE)
