"""What the processes of one machine's engines have in common: their share, their beginning and their end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from cogexp.launch.logs import show_log_lines
from cogexp.system import interrupts, streams

START_SECONDS = 300.0  # importing from a busy disk or a network share takes its time

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(count: int) -> dict[str, str]:
    """The environment of a process that computes with `count` threads, at least one."""
    return dict.fromkeys(_THREADS, str(max(count, 1)))


@contextmanager
def environment(share: dict[str, str]) -> Iterator[None]:
    """`share` in this process's environment: libraries read it once, when a new process loads them."""
    before = {key: os.environ.get(key) for key in share}
    os.environ.update(share)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def how_it_ended(process: BaseProcess) -> str:
    """How a process that is going ended."""
    process.join(timeout=10.0)
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; SIGKILL is what the kernel sends when memory is short" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"exit status {code}"


def was_asked_to_end(process: BaseProcess) -> bool:
    """Whether a process that is gone ended by a signal that asks for it, not one that a fault sends."""
    return process.exitcode in [-number for number in interrupts.SIGNALS]


def settle_in(folder: str, debug: bool) -> None:
    """The first thing in such a process: `folder` is where its sweep was started."""
    streams.guard()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process records and kills
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.chdir(folder)
    show_log_lines(debug)


def _leave_with_parent() -> None:
    """A process whose sweep was killed must not write into runs that the next start does again."""
    if (parent := parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)
