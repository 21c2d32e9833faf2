import os
import stat
from pathlib import Path

import pytest

from devstack.faults import AlreadyRunning
from devstack.layout import Layout


def test_a_directory_is_held_by_one_stack_at_a_time(tmp_path: Path) -> None:
    """The second is told who holds it; afterwards it is free again."""
    layout = Layout(tmp_path)
    with layout.held(), pytest.raises(AlreadyRunning, match=rf"running in {tmp_path} \(pid {os.getpid()}\)"):
        layout.held().__enter__()
    with layout.held():
        pass


def test_a_fact_is_for_its_owner_alone_and_can_be_withdrawn(tmp_path: Path) -> None:
    """A database's URL has a password in it."""
    layout = Layout(tmp_path)
    layout.prepare()
    layout.publish("database-url", "postgresql://u:p@h/d")
    layout.publish("database-url", "postgresql://u:q@h/d")
    assert stat.S_IMODE((tmp_path / "run" / "database-url").stat().st_mode) == 0o600
    assert layout.fact("database-url") == "postgresql://u:q@h/d"
    layout.withdraw("database-url", "database-url")
    assert layout.fact("database-url") is None


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The wallet of a stack stays the same for as long as its data do."""
    layout = Layout(tmp_path)
    layout.prepare()
    assert layout.secret("key", lambda: "first") == "first"
    assert layout.secret("key", lambda: "second") == "first"
    assert stat.S_IMODE((tmp_path / "data" / "key").stat().st_mode) == 0o600


def test_the_logs_of_the_previous_run_are_kept(tmp_path: Path) -> None:
    """Until the run after the next."""
    layout = Layout(tmp_path)
    for text in ("one", "two", "three"):
        layout.prepare()
        layout.log("api").write_text(text)
    assert layout.log("api").read_text() == "three"
    assert (tmp_path / "logs" / "api.log.previous").read_text() == "two"
