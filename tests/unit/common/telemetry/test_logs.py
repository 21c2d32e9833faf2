"""One JSON object a line, whoever logs."""

from collections.abc import Callable
from typing import Any

import pytest

RunPython = Callable[..., Any]
Line = dict[str, Any]

TALK = """
import logging, structlog, threading, warnings
from decimal import Decimal
from pydantic import SecretStr
from engine_common.telemetry import logs, tracing
from engine_common.telemetry.tracing import TraceContext

early = structlog.get_logger()
logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())
logs.configure("worker", level="info")
context = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=False)

logs.log.debug("hidden")
logging.getLogger("dramatiq").debug("hidden")
early.info("plain", amount=Decimal("1.5"), big=2**80, half="\\ud800")
with tracing.use(context), structlog.contextvars.bound_contextvars(order_id="0198"):
    logs.log.info("in context")
    logging.getLogger("dramatiq").warning("standard %s", "library")
try:
    raise ValueError("two\\nlines")
except ValueError:
    logs.log.exception("failed")
    logging.getLogger("uvicorn.error").exception("also failed")
logs.log.info(
    "secrets",
    url="postgresql://engine:hunter2@db/engine",
    cache="redis://:hunter2@cache:6379/0",
    awkward="amqp://u:hunter2@hunter2@h/x",
    deep={"list": ["https://u:hun\\"ter2@h"]},
    conninfo="host=db password=hunter2 user=engine",
    quoted="host=db password='hunter2 hunter2' user=engine",
    typed=SecretStr("hunter2"),
    harmless="http://db:5432/a and b@c",
)
logging.getLogger("psycopg.pool").warning("cannot connect to %s", "postgresql://engine:hunter2@db/engine")
try:
    raise ConnectionError("redis://:hunter2@cache refused")
except ConnectionError:
    logs.log.exception("lost")
logging.getLogger("uvicorn.access").info("GET / 200")
warnings.warn("old", DeprecationWarning, stacklevel=1)
logging.getLogger("x").info("%d", "wrong arguments")
for _ in range(100):
    logging.getLogger("opentelemetry.exporter").error("still dead")
thread = threading.Thread(target=lambda: 1 / 0, name="poller")
thread.start()
thread.join()
raise SystemExit
"""


@pytest.fixture(scope="module")
def lines(run_python: RunPython) -> dict[str, Line]:
    """Log all sorts of things in one process; the lines by their event."""
    finished = run_python(TALK, PYTHONWARNINGS="always")
    assert "hunter2" not in finished.stdout
    assert 'hun\\"ter2' not in finished.stdout
    return {line["event"]: line for line in finished.lines}


def test_a_line_says_when_how_grave_what_and_who(lines: dict[str, Line]) -> None:
    """And what the logger adds, whatever its type."""
    line = lines["plain"]
    assert list(line)[:4] == ["timestamp", "level", "event", "service"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["service"], line["amount"], line["big"]) == ("info", "worker", "1.5", 2**80)
    assert "trace_id" not in line


def test_a_line_in_a_context_has_its_trace_and_bound_fields(lines: dict[str, Line]) -> None:
    """One order's lines can be found."""
    line = lines["in context"]
    assert (line["trace_id"], line["order_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "0198")


def test_the_standard_library_logs_the_same_way(lines: dict[str, Line]) -> None:
    """Uvicorn, dramatiq, aiohttp and yoyo are heard in one format."""
    line = lines["standard library"]
    assert (line["level"], line["logger"], line["service"]) == ("warning", "dramatiq", "worker")
    assert (line["trace_id"], line["order_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "0198")


@pytest.mark.parametrize("event", ["failed", "also failed"])
def test_an_exception_is_part_of_its_line(event: str, lines: dict[str, Line]) -> None:
    """With its traceback."""
    assert lines[event]["level"] == "error"
    assert lines[event]["exception"].startswith("Traceback (most recent call last):")
    assert lines[event]["exception"].endswith("ValueError: two\nlines")


def test_passwords_are_masked_wherever_they_stand(lines: dict[str, Line]) -> None:
    """In URLs, connection strings, nested values, messages and exceptions; the rest stays readable."""
    line = lines["secrets"]
    assert line["url"] == "postgresql://engine:***@db/engine"
    assert line["cache"] == "redis://:***@cache:6379/0"
    assert line["awkward"] == "amqp://u:***@h/x"
    assert line["deep"] == {"list": ["https://u:***@h"]}
    assert line["conninfo"] == "host=db password=*** user=engine"
    assert line["quoted"] == "host=db password=*** user=engine"
    assert line["harmless"] == "http://db:5432/a and b@c"
    assert "cannot connect to postgresql://engine:***@db/engine" in lines
    assert "redis://:***@cache refused" in lines["lost"]["exception"]


def test_what_is_below_the_level_is_not_logged(lines: dict[str, Line]) -> None:
    """Neither is a line for every request."""
    assert "hidden" not in lines
    assert "GET / 200" not in lines


def test_warnings_and_the_failures_of_threads_are_lines_too(lines: dict[str, Line]) -> None:
    """Nothing writes a traceback between the lines."""
    assert any("DeprecationWarning: old" in event for event in lines)
    line = lines["uncaught exception in a thread"]
    assert (line["level"], line["thread"]) == ("critical", "poller")
    assert "ZeroDivisionError" in line["exception"]


def test_opentelemetry_repeats_itself_only_every_few_minutes(run_python: RunPython) -> None:
    """A dead endpoint does not fill the log."""
    finished = run_python(TALK)
    assert [line["event"] for line in finished.lines].count("still dead") == 1


def test_an_uncaught_exception_is_the_last_line(run_python: RunPython) -> None:
    """A crash is found where all else is found."""
    finished = run_python(
        "import atexit, os\n"
        "from engine_common.telemetry import logs\n"
        "logs.configure('worker')\n"
        "atexit.register(lambda: (logs.flush(), os._exit(0)))\n"
        "raise RuntimeError('postgresql://engine:hunter2@db')\n"
    )
    (line,) = finished.lines
    assert (line["level"], line["event"]) == ("critical", "uncaught exception")
    assert line["exception"].endswith("RuntimeError: postgresql://engine:***@db")
    assert finished.stderr == ""


def test_a_start_on_development_defaults_is_warned_of(run_python: RunPython) -> None:
    """What production would refuse is named."""
    finished = run_python(
        "from pydantic import Field\n"
        "from engine_common import settings, telemetry\n"
        "class Own(settings.Settings):\n"
        "    dex_url: str = Field(default='http://dex', json_schema_extra={'required_in_production': True})\n"
        "telemetry.start('worker', Own.load())\n"
        "telemetry.stop()\n",
        ENV="development",
        DEX_URL="",
    )
    (line,) = finished.lines
    assert (line["level"], line["variables"]) == ("warning", ["DEX_URL"])


def test_the_console_format_is_for_people(run_python: RunPython) -> None:
    """The same facts without braces, and no local variables in tracebacks."""
    finished = run_python(
        "from engine_common.telemetry import logs\n"
        "logs.configure('worker', fmt='console')\n"
        "secret = 'hunter2'\n"
        "logs.log.info('ready', url='redis://:hunter2@cache')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logs.log.exception('failed')\n"
    )
    assert "[info     ] ready" in finished.stdout
    assert "url=redis://:***@cache" in finished.stdout
    assert "ZeroDivisionError: division by zero" in finished.stdout
    assert "hunter2" not in finished.stdout
