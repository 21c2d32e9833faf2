"""`helm test`'s own client tells what is not so, instead of passing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from chart.rendering import CHART


class Answers(BaseHTTPRequestHandler):
    """Answers every order with the status that its path begins with, and Jaeger's questions with a page."""

    authorizations: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.authorizations.append(self.headers["authorization"])
        self.rfile.read(int(self.headers["content-length"]))
        status = int(self.path.split("/")[1])
        self.send_response(status)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.authorizations.clear()
    answering = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=answering.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{answering.server_port}"
    answering.shutdown()
    thread.join()
    answering.server_close()


def place_order(api_url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    neutral = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, CHART / "files/place_order.py"],
        env={**neutral, "API_URL": api_url, "TRACED_SERVICES": "engine-api", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_api_that_is_not_there_fails_the_test() -> None:
    done = place_order("http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("helm test: ")


@pytest.mark.parametrize(
    ("status", "said"), [(401, "test.apiKey.existingSecret"), (503, "answered 503"), (200, "not with JSON")]
)
def test_an_answer_that_is_no_order_fails_the_test(server: str, status: int, said: str) -> None:
    done = place_order(f"{server}/{status}")
    assert done.returncode == 1
    assert said in done.stderr


def test_the_api_key_is_read_from_a_variable_or_a_file(server: str, tmp_path: Path) -> None:
    """A file may end with a newline, as editors write it; none is sent where no key is needed."""
    (tmp_path / "key").write_text("of-a-file\n")
    for variables in ({}, {"API_KEY": "of-a-variable"}, {"API_KEY_FILE": str(tmp_path / "key")}):
        assert place_order(f"{server}/401", **variables).returncode == 1
    assert Answers.authorizations == [None, "Bearer of-a-variable", "Bearer of-a-file"]
