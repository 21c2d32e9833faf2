"""Lines written by a thread of their own, so that a stalled reader of stdout stalls nobody else."""

from __future__ import annotations

import atexit
import os
import queue
import select
import threading
import time

_CAPACITY = 10_000
_BATCH = 256
_GATHER_S = 0.02


class Writer:
    """Takes lines without ever blocking; what does not fit while the reader stalls is dropped and counted."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._begin()
        atexit.register(self.flush)
        os.register_at_fork(after_in_child=self._begin)  # a child has the parent's queue, but not its thread

    def _begin(self) -> None:
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._started = False
        self._dropped = 0
        self._reported = 0

    def write(self, line: bytes) -> None:
        """Take a line, without its line end."""
        if self._waiting.qsize() >= _CAPACITY:
            self._dropped += 1
            return
        self._waiting.put(line)
        if not self._started:
            self._start()

    def flush(self, timeout: float = 2.0) -> None:
        """Wait until what was taken so far is written, at most `timeout` seconds."""
        if self._started:
            written = threading.Event()
            self._waiting.put(written)
            written.wait(timeout)

    def _start(self) -> None:
        with self._starting:
            if self._started:
                return
            thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down and starts no more threads
                self._write_some()
            else:
                self._started = True

    def _run(self) -> None:
        while True:
            self._write_some()

    def _write_some(self) -> None:
        items = [self._waiting.get()]
        # To be woken by each line would cost the process more than to make it.
        time.sleep(_GATHER_S)
        while len(items) < _BATCH and not self._waiting.empty():
            items.append(self._waiting.get())
        self._put(b"".join(item + b"\n" for item in items if isinstance(item, bytes)))
        if missing := self._dropped - self._reported:
            self._reported += missing
            self._put(b'{"level":"warning","event":"log lines were dropped","count":%d}\n' % missing)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody who shares stdout made it non-blocking
                select.select([], [self._fd], [])
            except OSError:  # nobody reads any more
                return
