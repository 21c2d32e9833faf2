"""What the logs of a run complain of that no fault excuses: exceptions nobody caught or foresaw, and refused SQL."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last)"
# What a broken rule of ours looks like to PostgreSQL; everything else that it logs is the faults' own doing.
_REFUSED_SQL = re.compile(
    r"(?:ERROR|PANIC): .*(violates|deadlock detected|terminal state|written once|syntax error|invalid input|overflow)"
)
_SERVERS = {"postgres", "valkey"}


def complaints(logs: Path) -> Counter[str]:
    """Count the complaints in all logs of a directory, alike ones together."""
    counted: Counter[str] = Counter()
    for log in sorted(logs.glob("*.log")):
        with log.open(errors="replace") as lines:
            counted.update(f"{log.stem}: {text}" for text in _of_log(log.stem, lines))
    return counted


def _of_log(name: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if name in _SERVERS:
            if _REFUSED_SQL.search(line):
                yield line.strip()
        elif line.startswith("{"):
            yield from _of_record(_decoded(line))
        elif _TRACEBACK in line:
            yield f"a bare traceback: {_last_line(lines)}"


def _decoded(line: str) -> Mapping[str, object]:
    try:
        return json.loads(line)
    except ValueError:  # cut off by SIGKILL
        return {}


def _of_record(record: Mapping[str, object]) -> Iterator[str]:
    exception = str(record.get("exception", ""))
    if exception:
        event = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", str(record.get("event")))
        # Of a group of exceptions the last line is a frame.
        said = [line.strip(" |+-") for line in exception.splitlines()]
        yield f"{record.get('logger', '')}: {event}: {[line for line in said if line][-1]}"


def _last_line(lines: Iterator[str]) -> str:
    last = ""
    for line in lines:
        if not line.startswith((" ", "\t")) and line.strip():
            last = line.strip()
            break
    return last
