"""Signals that ask a process to end: recorded like Ctrl-C, and never in the middle of a record.

SIGINT is Ctrl-C; SIGTERM comes from Slurm, containers and service managers; SIGHUP from a closed terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
EXIT_CODE = 130


def install() -> None:
    """The first signal raises KeyboardInterrupt; a second Ctrl-C leaves at once, other ones change nothing.

    A SIGHUP that is ignored (nohup) stays ignored. Here as below, only the main thread can change handlers:
    in another one nothing happens.
    """
    if not _main():
        return
    for number in SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupted)


def _interrupted(number: int, frame: Any) -> None:
    ignore()
    signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_CODE))
    hint = "Ctrl-C again leaves at once" if number == signal.SIGINT else signal.Signals(number).name
    with contextlib.suppress(Exception):  # a closed stderr must not hide the interruption
        print(f"interrupted: writing the record ({hint})", file=sys.stderr, flush=True)
    raise KeyboardInterrupt(signal.Signals(number).name)


def ignore() -> None:
    """From now on none of SIGNALS does anything."""
    if _main():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Handlers that the block installs are taken out again."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if _main() and handler is not None:  # None: not Python's own, which cannot be put back
                signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A signal that comes in the block takes effect at its end."""
    came: list[int] = []
    try:
        with preserved():
            for number in SIGNALS:
                if _main() and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    signal.signal(number, lambda number, _: came.append(number))
            yield
    finally:
        for number in came[:1]:
            signal.raise_signal(number)


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
