"""Logs are searched for what no fault excuses."""

import json
import traceback
from pathlib import Path

from chaos.complaints import complaints


def test_exceptions_and_refused_sql_are_found_and_warnings_are_not(tmp_path: Path) -> None:
    """In records and in bare output; alike ones are counted together, whichever order they name."""
    trace = "Traceback (most recent call last):\n  File x\nValueError: what"
    records = [
        {"event": f"order 0198c0de-0000-7000-8000-00000000000{n}: it failed", "logger": "w", "exception": trace}
        for n in (1, 2)
    ]
    cut_off = '{"event": "half a li'
    (tmp_path / "worker-1.log").write_text("\n".join([*map(json.dumps, records), '{"event": "fine"}', cut_off]))
    (tmp_path / "api.log").write_text(f"{trace}\n")
    (tmp_path / "postgres.log").write_text(
        "LOG: database system was interrupted\nFATAL: too many connections\nERROR:  deadlock detected\n"
    )
    found = complaints(tmp_path)
    assert found["worker-1: w: order …: it failed: ValueError: what"] == 2
    assert found["api: a bare traceback: ValueError: what"] == 1
    assert found["postgres: ERROR:  deadlock detected"] == 1
    assert found.total() == 4


def test_a_group_of_exceptions_is_called_by_what_it_holds(tmp_path: Path) -> None:
    """Its last line is a frame."""
    text = "".join(traceback.format_exception(ExceptionGroup("several", [ValueError("what")])))
    (tmp_path / "api.log").write_text(json.dumps({"event": "e", "logger": "l", "exception": text}) + "\n")
    assert list(complaints(tmp_path)) == ["api: l: e: ValueError: what"]
