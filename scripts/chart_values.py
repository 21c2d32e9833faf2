"""Describes the values of the Helm chart by the comments of its values.yaml."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).resolve().parent.parent / "deploy/helm/order-engine/values.yaml"

_LINE = re.compile(r"(?P<indent> *)(?:# ?(?P<comment>.*)|(?P<key>[\w-]+):.*)")


def values_table(values: Path = VALUES) -> str:
    """Return the documented values as a Markdown table. Raises ValueError when one has no comment."""
    text = values.read_text()
    defaults = yaml.safe_load(text)
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    described: list[str] = []
    for path, comment in _comments(text):
        described.append(path)
        rows.append(f"| `{path}` | {_default(defaults, path)} | {comment} |".replace("\\", "\\\\"))
    for path in _leaves(defaults):
        if not any(path == known or path.startswith(f"{known}.") for known in described):
            raise ValueError(f"{values}: {path} has no comment above it")
    return "\n".join(rows) + "\n"


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Yield each key that has a comment right above it, as a dotted path."""
    stack: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or not line.strip():
            comment = []
            continue
        if found["key"] is None:
            comment.append(found["comment"])
            continue
        indent = len(found["indent"])
        stack = [entry for entry in stack if entry[0] < indent] + [(indent, found["key"])]
        if comment:
            yield ".".join(key for _, key in stack), " ".join(comment)
        comment = []


def _default(defaults: Any, path: str) -> str:
    value = defaults
    for key in path.split("."):
        value = value[key]
    return "unset" if value in ("", None) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path
