"""Keeps what the chart renders, so that a change shows what becomes of it: `python -m chart.golden` writes it anew."""

import re
from pathlib import Path

from chart.rendering import Values, rendered_text
from chart.value_sets import DEVELOPMENT, PRODUCTION, merged
from engine_common import __version__

DIRECTORY = Path(__file__).parent / "golden"
# Policies are long, and once is enough to read them.
GOLDEN: dict[str, Values] = {
    "development.yaml": merged(DEVELOPMENT, {"networkPolicy": {"enabled": False}, "ingress": {"enabled": True}}),
    "production.yaml": PRODUCTION,
}


def rendered(name: str) -> str:
    """Return what the chart renders now; the version, which changes with each release, is left out."""
    return _without_version(rendered_text(GOLDEN[name], "--skip-tests"))


def _without_version(text: str) -> str:
    text = text.replace(__version__, "VERSION").replace(__version__.replace(".", "-"), "VERSION")
    # The hash of the Job's spec, which contains the version.
    return re.sub(r"-migrate-VERSION-[0-9a-f]{8}-", "-migrate-VERSION-HASH-", text)


def main() -> None:
    """Write what the chart renders now."""
    for name in GOLDEN:
        (DIRECTORY / name).write_text(rendered(name))


if __name__ == "__main__":
    main()
