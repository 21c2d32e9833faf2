"""What a node refuses whatever is asked: callers without its key, requests too often, too large or of many calls."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from mockdex.answers import Answer, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockdex.tuning import Tuning

_UNAUTHORIZED = refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", "the node wants its key as ?api-key=")
_NO_ARRAYS = refusal(HTTPStatus.BAD_REQUEST, "no_batches", "the node takes single calls only")


class NodeLimits:
    """The limits in force, which change at run time. `clock` returns seconds that never go back."""

    def __init__(self, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._tuning = tuning
        self._clock = clock
        self._allowance = 0.0
        self._seen_at = clock()

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request."""
        return int(self._tuning.value("rpc_max_body_bytes"))

    def refuse_caller(self, query: bytes) -> Answer | None:
        """Return the answer to a request without the key that is asked for."""
        key = self._tuning.value("rpc_api_key")
        if not key or parse_qs(query.decode("latin-1")).get("api-key") == [key]:
            return None
        return _UNAUTHORIZED

    def refuse_rate(self) -> Answer | None:
        """Return the answer to a request beyond the rate: a bucket that holds the requests of one second."""
        limit = float(self._tuning.value("rpc_rate_limit"))
        now = self._clock()
        self._allowance = min(limit, self._allowance + (now - self._seen_at) * limit)
        self._seen_at = now
        if not limit:
            return None
        if self._allowance >= 1:
            self._allowance -= 1
            return None
        return refusal(429, "rate_limited", f"at most {limit:g} requests a second", (b"retry-after", b"1"))

    def refuse_body(self) -> Answer:
        """Return the answer to a body that is too large."""
        return refusal(413, "body_too_large", f"a request has at most {self.max_body_bytes} bytes")

    def refuse_batch(self, calls: int) -> Answer | None:
        """Return the answer to an array of more calls than the node takes."""
        limit = int(self._tuning.value("rpc_max_batch"))
        if limit == 1:
            return _NO_ARRAYS
        if limit and calls > limit:
            return refusal(413, "batch_too_large", f"a batch has at most {limit} calls")
        return None
