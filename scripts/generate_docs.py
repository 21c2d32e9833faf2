"""Writes the generated parts of the documents, or with `--check` tells which of them are out of date."""

import inspect
import re
import sys
from pathlib import Path

from chart_values import values_table
from devstack.settings import StackSettings
from engine_api import problems
from engine_api.problem_reference import EXPLANATIONS
from engine_api.settings import ApiSettings
from engine_api.streams.session import close_code
from engine_common.errors import verdicts
from engine_common.settings import Settings, settings_table
from engine_common.transitions import TRANSITIONS
from engine_worker.settings import WorkerSettings
from mockdex.settings import ProcessSettings

ROOT = Path(__file__).resolve().parent.parent


def transitions_table() -> str:
    """Return the state machine as a Markdown table."""
    rows = ["| from | to |", "| --- | --- |"]
    for source, targets in TRANSITIONS.items():
        names = ", ".join(f"`{target}`" for target in TRANSITIONS if target in targets)
        rows.append(f"| `{source}` | {names or 'nothing: final'} |")
    return "\n".join(rows) + "\n"


def problems_table() -> str:
    """Return every kind of problem as a Markdown table."""
    rows = ["| code | status | on a WebSocket | may be repeated | meaning |", "| --- | --- | --- | --- | --- |"]
    for kind in sorted(problems.KINDS, key=lambda kind: (kind.status, kind.code)):
        again = "yes" if kind.retryable else ""
        rows.append(f"| `{kind.code}` | {kind.status} | {close_code(kind)} | {again} | {kind.title} |")
    return "\n".join(rows) + "\n"


def order_errors_table() -> str:
    """Return every `errorCode` of an order as a Markdown table."""
    rows = ["| code | meaning | retryable | what the client does |", "| --- | --- | --- | --- |"]
    for verdict in sorted(verdicts(), key=lambda verdict: verdict.code):
        meaning = (inspect.getdoc(verdict) or "").partition("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{verdict.code}` | {meaning} | {_yes_or_no(verdict.retryable)} | {verdict.advice} |")
    return "\n".join(rows) + "\n"


def problem_reference_table() -> str:
    """Return every code of a problem as a Markdown table, with what a client does about it."""
    rows = ["| code | status | meaning | retryable | what the client does |", "| --- | --- | --- | --- | --- |"]
    for kind in sorted(problems.KINDS, key=lambda kind: (kind.status, kind.code)):
        meaning, advice = EXPLANATIONS[kind.code]
        rows.append(f"| `{kind.code}` | {kind.status} | {meaning} | {_yes_or_no(kind.retryable)} | {advice} |")
    return "\n".join(rows) + "\n"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def generated() -> dict[str, str]:
    """Return every generated part by its name."""
    return {
        "transitions": transitions_table(),
        "problems": problems_table(),
        "order-errors": order_errors_table(),
        "problem-reference": problem_reference_table(),
        "settings-every-service": settings_table(Settings),
        "settings-api": _own_settings(ApiSettings),
        "settings-worker": _own_settings(WorkerSettings),
        "settings-mockdex": _own_settings(ProcessSettings),
        "settings-devstack": _own_settings(StackSettings),
        "settings-kindstack": _own_settings(_kind_settings()),
        "chart-values": values_table(),
    }


def _kind_settings() -> type[Settings]:
    sys.path.append(str(ROOT / "deploy" / "kind"))  # a program of this repository alone, so never installed
    from kindstack.settings import KindSettings

    return KindSettings


def _own_settings(cls: type[Settings]) -> str:
    """Return the settings of a process without those that every service has."""
    shared = {line.split("|")[1] for line in settings_table(Settings).splitlines()[2:]}
    lines = settings_table(cls).splitlines()
    return "\n".join(line for line in lines if line.split("|")[1] not in shared) + "\n"


def render(text: str, parts: dict[str, str]) -> str:
    """Return the text with each `<!-- generated: NAME -->` part replaced by its newest content."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- generated: {name} -->\n{parts[name]}<!-- end -->"

    return re.sub(r"<!-- generated: (?P<name>[\w-]+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


def main() -> None:
    """Bring the documents up to date, or name those that are not."""
    stale: list[str] = []
    parts = generated()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]:
        before = path.read_text()
        after = render(before, parts)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(after)
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}. Run `make docs` and commit the result.")


if __name__ == "__main__":
    main()
