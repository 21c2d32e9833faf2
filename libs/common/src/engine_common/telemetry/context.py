"""The W3C trace context, and what carries it while nothing is recorded."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import NamedTuple, Self

from opentelemetry.trace import INVALID_SPAN, Span

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


class TraceContext(NamedTuple):
    """Where in which trace something happens (W3C Trace Context), recorded or not."""

    trace_id: str
    """32 lower-case hex digits"""
    span_id: str
    """16 lower-case hex digits"""
    sampled: bool
    """whether the one who made it records spans"""

    @property
    def traceparent(self) -> str:
        """The value of a `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @classmethod
    def new(cls) -> Self:
        """Start a trace that is not recorded here: unsampled, so that it overrules no sampler further on."""
        digits = os.urandom(24).hex()
        return cls(digits[:32], digits[32:], sampled=False)

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Read a `traceparent` header; None when it is missing or invalid."""
        if not header or (match := _TRACEPARENT.fullmatch(header.strip(" \t"))) is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "00" and rest:
            return None
        return cls(trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED))


# While nothing is recorded this variable carries the context; while spans are, OpenTelemetry's own context does.
bound: ContextVar[TraceContext | None] = ContextVar("engine_trace_context", default=None)


class Bound(AbstractContextManager[Span]):
    """Makes a context current; the span it gives takes anything and records nothing."""

    __slots__ = ("_context", "_token")
    _token: Token[TraceContext | None]

    def __init__(self, context: TraceContext) -> None:
        self._context = context

    def __enter__(self) -> Span:
        self._token = bound.set(self._context)
        return INVALID_SPAN

    def __exit__(self, *_: object) -> None:
        try:
            bound.reset(self._token)
        except ValueError:  # a generator closed by another task: that task's context was never ours
            return


class Unbound(AbstractContextManager[Span]):
    """Changes nothing; the span it gives takes anything and records nothing."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return INVALID_SPAN

    def __exit__(self, *_: object) -> None:
        return None


UNBOUND = Unbound()
