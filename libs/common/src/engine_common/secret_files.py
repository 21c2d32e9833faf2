"""Secrets from files: for a variable NAME that may hold a secret, NAME_FILE names a file whose content is the value."""

from collections.abc import Iterable, Mapping
from pathlib import Path

SUFFIX = "_FILE"
_MAX_BYTES = 64 * 1024


def read_secret_file(variable: str, path: str) -> str:
    """Return the file's content without one newline at its end.

    `variable` is the one that names the file. Raises ValueError with a sentence that names both, and never the content.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except IsADirectoryError:
        raise ValueError(f"{variable}: {path} is a directory: name the file that holds the value.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"{variable}: {path} cannot be read ({reason}): name a readable file.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is not UTF-8 text: write the value into it as text.") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{variable}: {path} has more than {_MAX_BYTES} bytes: it may hold the value alone.")
    if not text:
        raise ValueError(f"{variable}: {path} is empty: write the value into it.")
    return text


def read_secret_files(variables: Iterable[str], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of those variables that are given as files, and a sentence for each that is given wrongly."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for variable in variables:
        path = environ.get(variable + SUFFIX)
        if not path:
            continue
        if environ.get(variable):
            problems.append(f"{variable} and {variable}{SUFFIX} are both set: unset one.")
            continue
        try:
            values[variable] = read_secret_file(variable + SUFFIX, path)
        except ValueError as error:
            problems.append(str(error))
    return values, problems
