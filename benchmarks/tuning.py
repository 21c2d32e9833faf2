"""Delays and failures of the mock DEX, set for a run through its administration and put back afterwards."""

import json
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from benchmarks.system import System, SystemFault

INSTANT: Mapping[str, float] = {"quote_delay_ms": 0, "execution_delay_ms": 0, "failure_rate": 0.0}
DEFAULT: Mapping[str, float] = {"quote_delay_ms": 200, "execution_delay_ms": 2500, "failure_rate": 0.05}
_PATIENCE_S = 5.0


@contextmanager
def tuned(system: System, values: Mapping[str, float]) -> Generator[None]:
    """Let the values hold meanwhile. Raises SystemFault."""
    before = _ask(system, "GET", None)
    _ask(system, "PATCH", values)
    try:
        yield
    finally:
        _ask(system, "PATCH", {name: before[name] for name in values})


def _ask(system: System, method: str, values: Mapping[str, Any] | None) -> Mapping[str, Any]:
    body = None if values is None else json.dumps(values)
    headers = {"Authorization": f"Bearer {system.admin_token}", "Content-Type": "application/json"}
    try:
        with closing(HTTPConnection(urlsplit(system.dex_url).netloc, timeout=_PATIENCE_S)) as connection:
            connection.request(method, "/admin/settings", body, headers)
            response = connection.getresponse()
            answer = response.read()
    except (OSError, HTTPException) as error:
        raise SystemFault(f"The mock DEX at {system.dex_url} does not answer: {error}.") from error
    if response.status != HTTPStatus.OK:
        raise SystemFault(f"The mock DEX answered {response.status}: {answer.decode(errors='replace')}")
    return json.loads(answer)
