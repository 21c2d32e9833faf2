"""Lines reach stdout, and nobody waits for whoever reads it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine_common.telemetry.stdout import Writer

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Stand in for stdout and its reader."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)
    os.close(reading)


def read_until(fd: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.read(fd, 65536)
    return data


def test_lines_arrive_in_order(pipe: Pipe) -> None:
    """Each with its line end."""
    reading, writing = pipe
    writer = Writer(writing)
    for number in range(1000):
        writer.write(b"%d" % number)
    assert read_until(reading, b"\n999\n").split() == [b"%d" % number for number in range(1000)]


def test_flush_waits_until_all_is_written(pipe: Pipe) -> None:
    """What was logged before the end of the process is not lost."""
    reading, writing = pipe
    writer = Writer(writing)
    writer.write(b"last words")
    writer.flush()
    os.set_blocking(reading, False)
    assert os.read(reading, 100) == b"last words\n"


def test_a_stalled_reader_stalls_nobody_and_learns_what_it_missed(pipe: Pipe) -> None:
    """Logging goes on at once, drops what does not fit, and says how much that was."""
    reading, writing = pipe
    writer = Writer(writing)
    start = time.monotonic()
    for _ in range(30_000):
        writer.write(b"x" * 99)
    writer.flush(timeout=0.05)
    assert time.monotonic() - start < 5
    received = b""
    while len(received) < 200_000:  # more than the pipe and a batch hold, so there is room again
        received += os.read(reading, 65536)
    writer.write(b"end")
    lines = (received + read_until(reading, b"\nend\n")).splitlines()
    reports = [json.loads(line) for line in lines if line.startswith(b"{")]
    assert {report["event"] for report in reports} == {"log lines were dropped"}
    assert lines.count(b"x" * 99) + sum(report["count"] for report in reports) == 30_000


def test_a_non_blocking_stdout_gets_everything(pipe: Pipe) -> None:
    """Others who share the terminal may have made it so."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    writer = Writer(writing)
    for _ in range(2000):
        writer.write(b"y" * 99)
    writer.write(b"end")
    assert len(read_until(reading, b"\nend\n")) == 2000 * 100 + 4


def test_a_closed_stdout_is_no_error() -> None:
    """A process whose log nobody reads any more goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    writer = Writer(writing)
    writer.write(b"into the void")
    writer.flush()
    os.close(writing)


def test_a_forked_child_logs_too(run_python: Callable[..., Any]) -> None:
    """Threads do not survive a fork; the child starts its own."""
    finished = run_python(
        """
import json
import os
from engine_common.telemetry.stdout import Writer

writer = Writer(fd=1)
writer.write(b"parent")
writer.flush()
if os.fork() == 0:
    writer.write(b"child")
    writer.flush()
    os._exit(0)
os.wait()
"""
    )
    assert finished.stdout == "parent\nchild\n"
