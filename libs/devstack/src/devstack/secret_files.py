"""Files that only their owner may read."""

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Write a file that is complete when it appears and was never readable by others."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    partial.replace(path)
