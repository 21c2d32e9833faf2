"""`make up` on addresses of either family: it becomes ready, and prints an address that answers."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from devstack.ports import free_port


@pytest.mark.parametrize("host", ["::1", "::", "localhost"])
def test_a_stack_is_ready_wherever_it_listens(tmp_path: Path, host: str) -> None:
    """api, mock DEX and probes alike."""
    addresses = {"API_HOST": host, "MOCKDEX_HOST": host, "METRICS_HOST": host, "STACK_DIR": str(tmp_path / "stack")}
    ports = {"API_PORT": str(free_port()), "MOCKDEX_PORT": str(free_port())}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "devstack", "up"],
        env={**os.environ, **addresses, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        lines: list[str] = []
        for line in stack.stdout:
            lines.append(line)
            if found := re.match(r"ready: (http://\S+)", line):
                with urllib.request.urlopen(f"{found[1]}/readyz", timeout=10) as answer:  # noqa: S310 - our own stack
                    assert answer.status == 200
                break
        else:
            pytest.fail("".join(lines))
        stack.send_signal(signal.SIGTERM)
        stack.communicate(timeout=60)
