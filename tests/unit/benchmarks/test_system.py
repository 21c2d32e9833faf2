import os
import signal
import tempfile
from pathlib import Path

import pytest
from benchmarks.disk import fdatasync_ms
from benchmarks.system import SystemFault, running, started

from devstack.layout import Layout

STANDINS = Path(__file__).parents[2] / "integration" / "devstack" / "standins"


def published(root: Path, **changes: str) -> Path:
    facts = {
        "database-url": "postgresql://postgres:secret@127.0.0.1:5000/postgres",
        "dex-url": "http://127.0.0.1:4000",
        "api-url": "http://127.0.0.1:3000",
        "admin-token": "token",
    } | {name.replace("_", "-"): fact for name, fact in changes.items()}
    layout = Layout(root)
    layout.run.mkdir(parents=True)
    for name, fact in facts.items():
        layout.publish(name, fact)
    return root


def test_a_running_stack_is_found_by_its_directory(tmp_path: Path) -> None:
    """Its run directory says where everything is."""
    system = running(published(tmp_path), None)
    assert (system.api_url, system.dex_url, system.admin_token) == (
        "http://127.0.0.1:3000",
        "http://127.0.0.1:4000",
        "token",
    )
    assert running(tmp_path, "http://localhost:3100/").api_url == "http://localhost:3100"


def test_a_directory_without_a_stack_is_refused(tmp_path: Path) -> None:
    """In one sentence, not in a traceback."""
    with pytest.raises(SystemFault, match="No stack is running in"):
        running(tmp_path, None)


@pytest.mark.parametrize("name", ["api_url", "dex_url", "database_url"])
def test_only_this_machine_is_put_under_load(tmp_path: Path, name: str) -> None:
    """Nobody else's system may get twenty thousand orders by a mistyped address."""
    with pytest.raises(SystemFault, match="only loopback"):
        running(published(tmp_path, **{name: "http://example.invalid:80"}), None)


@pytest.fixture
def temporary_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary directories made inside the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_stack_of_our_own_comes_up_and_leaves_nothing_behind(
    temporary_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, no directory; and whatever database others use, it is not that one."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/somebody-elses")
    with started({"PYTHONPATH": str(STANDINS)}) as system:
        pids = [int(file.read_text()) for file in system.layout.run.glob("*.pid")]
        assert len(pids) == 5
        assert "somebody-elses" not in system.database_url
    assert list(temporary_directories.iterdir()) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_stack_that_does_not_come_up_says_why_and_keeps_its_logs(temporary_directories: Path) -> None:
    """They are to be read."""
    with pytest.raises(SystemFault, match=r"(?s)does not come up.*WORKERS"), started({"WORKERS": "many"}):
        pass
    assert [path.name for path in temporary_directories.glob("bench-*/up.log")] == ["up.log"]


def test_the_disks_time_is_measured(tmp_path: Path) -> None:
    """In milliseconds; a disk in memory may take next to none."""
    assert 0 < fdatasync_ms(tmp_path) < 5_000
    assert list(tmp_path.iterdir()) == []
