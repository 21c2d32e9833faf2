"""Logs: one JSON object a line on stdout, from structlog and from the standard library alike."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from engine_common.telemetry import tracing
from engine_common.telemetry.stdout import Writer

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger, Processor

THROTTLED_FOR_S = 300.0
_DROPS_SPANS = "opentelemetry.sdk._shared_internal"

# Until configure() runs, as in tests and tools, lines go to the standard library's loggers, which show warnings only.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.stdlib.LoggerFactory(),
)
log: FilteringBoundLogger = structlog.get_logger()
_writer = Writer(fd=1)
_chain: list[Processor] = []  # changed in place, because loggers keep it once they are used


def configure(service: str, level: str = "info", fmt: str = "json") -> None:
    """Send all logs of this process from the given level on to stdout, as `json` lines or for people (`console`).

    Call it before uvicorn starts, and start that with `log_config=None`: otherwise it goes its own way.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _chain[:] = [
        structlog.contextvars.merge_contextvars,
        _Frame(service),
        *(_console() if fmt == "console" else (structlog.processors.format_exc_info, _json)),
        _hide_passwords,
    ]
    structlog.configure(
        processors=_chain,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    _route_standard_library(_Handler(), threshold)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def flush() -> None:
    """Write what is waiting, within two seconds."""
    _writer.flush(timeout=2.0)


class _Frame:
    """Puts what every line has in front of what this one says."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        line: dict[str, Any] = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": "error" if method == "exception" else method,
            "event": event.pop("event", ""),
            "service": self._service,
        }
        if (context := tracing.current()) is not None:
            line["trace_id"] = context.trace_id
        line.update(event)
        return line


def _console() -> tuple[Processor, ...]:
    # Not the prettier tracebacks: they print local variables, secrets among them.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain),)


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a number beyond 64 bits, half a surrogate pair: slower, but a log call never fails
        return json.dumps(event, default=str, separators=(",", ":")).encode()


# In the rendered line, so that no value escapes however deep it lies; `\\.` is an escaped character of a JSON string.
_PASSWORD = re.compile(rb'(://[^\s/"\\@:]*:)(?:\\.|[^\s/"\\])*@|(\bpassword=)(?:\'[^\']*\'|(?:\\.|[^\s&"\\])+)')


def _hide_passwords(_logger: object, _method: str, rendered: Any) -> bytes:
    line: bytes = rendered if isinstance(rendered, bytes) else rendered.encode(errors="backslashreplace")
    if (b"://" in line and b"@" in line) or b"password=" in line:
        line = _PASSWORD.sub(lambda found: found[1] + b"***@" if found[1] else found[2] + b"***", line)
    return line


class _Lines:
    """The logger beneath structlog's: takes rendered lines."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: bytes) -> None:
        _writer.write(line)

    debug = info = warning = error = critical = log = msg


def _route_standard_library(handler: logging.Handler, threshold: int) -> None:
    handler.addFilter(_Throttle())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(threshold)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A line for every request is a line too many, but for debugging.
    logging.getLogger("uvicorn.access").setLevel(threshold if threshold <= logging.DEBUG else logging.WARNING)
    logging.captureWarnings(capture=True)


class _Handler(logging.Handler):
    """Carries the standard library's records through the same chain."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line: Any = {"event": record.getMessage(), "logger": record.name}
            if record.exc_info:
                line["exc_info"] = record.exc_info
            for processor in _chain:
                line = processor(None, record.levelname.lower(), line)
            _writer.write(line)
        except Exception:  # noqa: BLE001 - as in every logging.Handler: a log call never fails
            self.handleError(record)


class _Throttle(logging.Filter):
    """Lets each logger of OpenTelemetry speak once in five minutes: a dead endpoint would fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry."):
            return True
        now = time.monotonic()
        if now < self._silent_until.get(record.name, 0.0):
            return False
        self._silent_until[record.name] = now + THROTTLED_FOR_S
        if record.name == _DROPS_SPANS:
            # It speaks for each span it drops, and that costs more than the span: once in a process has to do.
            logging.getLogger(_DROPS_SPANS).setLevel(logging.ERROR)
        return True


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        log.critical("uncaught exception", exc_info=(kind, error, traceback))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        thread = args.thread.name if args.thread else None
        log.critical("uncaught exception in a thread", thread=thread, exc_info=args.exc_value)
