"""What a person sees while a run works: bars with time left in a terminal, one line a stage elsewhere.

Everything here goes to stderr; stdout is for tables and JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from cogexp.system import streams
from cogexp.system.text import visible


class Progress(Protocol):
    """How a run tells what it is doing."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def stage(self, name: str, total: int | None) -> Any:
        """A context whose value is `advance(done)`; `total` None for work of unknown length."""


class Silent:
    """For libraries and tests: nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        """Nothing."""
        yield lambda done: None


class Lines:
    """For logs and pipes: one line at the end of each stage."""

    def say(self, text: str) -> None:
        """The line on stderr."""
        streams.say(visible(text))

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        """The stage's name, count and seconds when it is done."""
        started, last = time.perf_counter(), 0

        def advance(done: int) -> None:
            nonlocal last
            last = done

        yield advance
        count = f" {last}/{total}" if total else ""
        self.say(f"{name:<18}{count}  {time.perf_counter() - started:.1f} s")


class Bars:
    """For a terminal: rich bars with time spent and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True, highlight=False)
        self._bars = RichProgress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._open = 0

    def say(self, text: str) -> None:
        """The line above the bars. It is text, not markup: a prompt may hold brackets."""
        self._console.print(visible(text), markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        """One bar; it stays when the stage is done."""
        if self._open == 0:
            self._bars.start()
        self._open += 1
        task = self._bars.add_task(name, total=total)
        try:
            yield lambda done: self._bars.update(task, completed=done)
            if total is None:
                self._bars.update(task, total=1, completed=1)
        finally:
            self._open -= 1
            if self._open == 0:
                self._bars.stop()
                for shown in list(self._bars.task_ids):
                    self._bars.remove_task(shown)


def for_stderr() -> Progress:
    """Bars in a terminal, lines elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()


def number(value: float | None) -> str:
    """A score with sensible digits; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
