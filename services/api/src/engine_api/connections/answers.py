"""Answers to what never becomes a request, and the headers that every answer has."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from engine_api.access_log import log_refused
from engine_api.problems import MEDIA_TYPE, Refusal, document
from engine_api.request_ids import HEADER, new_request_id

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def security_headers(*, tls_only: bool) -> list[tuple[str, str]]:
    """Return what tells browsers to make nothing of an answer but what it is."""
    return list((_SECURITY_HEADERS | _TLS_ONLY if tls_only else _SECURITY_HEADERS).items())


def problem(
    refusal: Refusal, default_headers: Iterable[tuple[bytes, bytes]], *, access_log: bool
) -> tuple[Mapping[str, str], bytes]:
    """Return headers and body of a refusal that belongs to no request."""
    request_id = new_request_id()
    if access_log:
        log_refused(refusal.kind.status, refusal.kind.code, request_id)
    fields: dict[str, Any] = {**document(refusal), "traceId": None, "requestId": request_id}
    body = orjson.dumps(fields)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in default_headers}
    headers |= {
        HEADER.lower(): request_id,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
    }
    return headers, body
