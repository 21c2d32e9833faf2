import errno
from pathlib import Path

from devstack.faults import explain, tail


def test_a_full_disk_is_said_with_what_to_do() -> None:
    """Not with a number."""
    error = OSError(errno.ENOSPC, "No space left on device", "/x/data")
    assert explain(error) == (
        "The disk is full (/x/data): free some space, or set STACK_DIR to a directory on another disk."
    )


def test_any_other_error_of_the_system_names_its_file() -> None:
    """One sentence."""
    assert explain(PermissionError(errno.EACCES, "Permission denied", "/x")) == "Permission denied (/x)."
    assert explain(OSError("strange")) == "strange."


def test_the_tail_of_a_log_is_what_the_last_run_said(tmp_path: Path) -> None:
    """Earlier runs and long prefaces are left out, and what is no text is no reason to fail."""
    log = tmp_path / "api.log"
    log.write_bytes(b"earlier run\n" + b"".join(b"line %d \xff\n" % number for number in range(20)))
    assert tail(log, lines=2) == "line 18 \ufffd\nline 19 \ufffd"
    assert "earlier" not in tail(log, lines=100, start=len("earlier run\n"))
    assert len(tail(log, lines=100, start=len("earlier run\n")).splitlines()) == 20
    assert tail(tmp_path / "none.log") == ""
