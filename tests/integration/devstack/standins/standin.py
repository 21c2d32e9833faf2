"""What the stand-ins of the services have in common: they answer /readyz, and misbehave as STANDIN_* tells them.

PYTHONPATH puts them in front of the real services, so that supervision is tested by itself.
"""

import http.server
import os
import signal
import sys
import time

PORTS = {"engine_api": "API_PORT", "mockdex": "MOCKDEX_PORT", "engine_worker": "METRICS_PORT"}


class Answer(http.server.BaseHTTPRequestHandler):
    """Says that the stand-in is ready, whatever it is asked."""

    deaf = False

    def do_GET(self) -> None:
        """Answer 200, or 503 when the stand-in never gets ready."""
        self.send_response(503 if self.deaf else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def serve(name: str) -> None:
    stop_at_once = name not in os.environ.get("STANDIN_STUBBORN", "")
    signal.signal(signal.SIGTERM, (lambda *_: sys.exit(0)) if stop_at_once else signal.SIG_IGN)
    say(f"{name} has ANY_SETTING={os.environ.get('ANY_SETTING')}")
    Answer.deaf = name in os.environ.get("STANDIN_DEAF", "")
    if name in os.environ.get("STANDIN_DYING", ""):
        sys.exit(f"{name} has a reason to die")
    if name in os.environ.get("STANDIN_REFUSING", ""):
        say("SOME_SETTING must be a whole number")
        sys.exit(2)
    if name in os.environ.get("STANDIN_FORKING", ""):
        os.fork()
    while True:
        try:
            server = http.server.HTTPServer(("127.0.0.1", int(os.environ[PORTS[name]])), Answer)
        except OSError:  # the port of the forked twin
            time.sleep(60)
        else:
            server.serve_forever()
