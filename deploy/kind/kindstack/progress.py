"""Steps of the work, several at a time: shown while they last, told with their time when they are done."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Step:
    """A step that is under way."""

    def __init__(self, text: str, shown: Progress) -> None:
        self.text = text
        self._shown = shown
        self._task = shown.add_task(text, total=None)
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def tell(self, text: str) -> None:
        """Say anew what is being done, or what came of it."""
        self.text = text
        self._shown.update(self._task, description=text)

    def end(self) -> None:
        """Take it off the terminal."""
        self._shown.remove_task(self._task)


class Steps:
    """The steps of one command on a console: spinners on a terminal, a line for beginning and end of each elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def say(self, line: str, style: str | None = None) -> None:
        """Print a line above the running steps."""
        self._console.print(line, style=style, soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Generator[Step]:
        """Show a step while the body runs; `tell` says what came of it."""
        step = Step(text, self._shown)
        if not self._console.is_terminal:
            self.say(f"         … {text}")
        try:
            yield step
        except asyncio.CancelledError:
            step.end()
            self.say(f"{step.seconds:6.1f} s - {step.text}: stopped")
            raise
        except BaseException:
            step.end()
            self.say(f"{step.seconds:6.1f} s ✗ {step.text}", style="red")
            raise
        step.end()
        self.say(f"{step.seconds:6.1f} s ✓ {step.text}")
