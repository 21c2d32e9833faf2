import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.system import System, SystemFault
from benchmarks.tuning import DEFAULT, INSTANT, tuned

from devstack.layout import Layout


class Admin(http.server.BaseHTTPRequestHandler):
    """The administration of a mock DEX, as far as the benchmarks use it."""

    values: dict[str, Any]

    def _answer(self) -> None:
        if self.headers["Authorization"] != "Bearer token":
            self.send_error(401)
            return
        body = json.dumps(self.values).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Tell the values."""
        self._answer()

    def do_PATCH(self) -> None:
        """Change values."""
        self.values.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def dex() -> Iterator[str]:
    Admin.values = {"quote_delay_ms": 7, "execution_delay_ms": 70, "failure_rate": 0.7, "drop_rate": 0.1}
    with http.server.HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def system(dex_url: str, token: str) -> System:
    return System(Layout(Path()), "127.0.0.1", 1, "", dex_url, token)


def test_values_hold_during_a_run_and_go_back_afterwards(dex: str) -> None:
    """A stack that ran before is left as it was found."""
    with tuned(system(dex, "token"), INSTANT):
        assert {name: Admin.values[name] for name in INSTANT} == INSTANT
        assert Admin.values["drop_rate"] == 0.1
    assert Admin.values == {"quote_delay_ms": 7, "execution_delay_ms": 70, "failure_rate": 0.7, "drop_rate": 0.1}


def test_values_go_back_when_the_run_fails(dex: str) -> None:
    """Whatever happens in it."""
    with pytest.raises(ZeroDivisionError), tuned(system(dex, "token"), DEFAULT):
        _ = 1 / 0
    assert Admin.values["quote_delay_ms"] == 7


def test_a_mock_dex_that_refuses_is_a_fault_in_one_sentence(dex: str) -> None:
    """So is one that does not answer."""
    with pytest.raises(SystemFault, match="answered 401"), tuned(system(dex, "another"), INSTANT):
        pass
    with pytest.raises(SystemFault, match="does not answer"), tuned(system("http://127.0.0.1:1", "token"), INSTANT):
        pass
