"""Small programs in place of docker, kind, kubectl and helm: they answer as told and note every call."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

_PROGRAM = """#!{python}
import json, os, pathlib, sys, time
here = pathlib.Path({directory!r})
text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
call = " ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([call, text, os.getpid()]) + "\\n")
told = [json.loads(line)[0] for line in (here / "calls").read_text().splitlines()]
for part, status, out, err, delay_s, times in json.loads((here / "answers").read_text()):
    if part in call and (times is None or sum(part in each for each in told) <= times):
        time.sleep(delay_s)
        print(out)
        print(err, file=sys.stderr)
        sys.exit(status)
"""


class Programs:
    """The programs in a PATH of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._answers: list[tuple[str, int, str, str, float, int | None]] = []
        self._write()

    def install(self, *names: str) -> None:
        for name in names:
            program = self._directory / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(_PROGRAM.format(python=sys.executable, directory=str(self._directory)))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def answer(
        self,
        part: str,
        out: object = "",
        *,
        status: int = 0,
        err: str = "",
        delay_s: float = 0,
        times: int | None = None,
    ) -> None:
        """Set what is printed to a call that has `part` in it; an earlier answer goes first.

        `times`: only to the first so many such calls.
        """
        text = out if isinstance(out, str) else json.dumps(out)
        self._answers.append((part, status, text, err, delay_s, times))
        self._write()

    @property
    def calls(self) -> list[str]:
        return [call for call, _, _ in self._told()]

    def stdin_of(self, part: str) -> str:
        return next(text for call, text, _ in self._told() if part in call)

    def is_running(self, part: str) -> bool:
        return any(Path("/proc", str(pid)).exists() for call, _, pid in self._told() if part in call)

    def _told(self) -> list[tuple[str, str, int]]:
        calls = self._directory / "calls"
        return [tuple(json.loads(line)) for line in calls.read_text().splitlines()] if calls.exists() else []

    def _write(self) -> None:
        (self._directory / "answers").write_text(json.dumps(self._answers))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """All four, with nothing else in PATH."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path / "bin"))
    programs = Programs(tmp_path)
    programs.install("docker", "kind", "kubectl", "helm")
    return programs
