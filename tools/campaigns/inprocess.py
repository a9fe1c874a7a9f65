"""One command inside this process: its exit code, its words, and an alarm for what hangs.

Far cheaper than a process each: a refusal takes milliseconds. Nothing that would load a model is called.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from tools.campaigns.harness import TRACEBACK, Outcome

CANARY = "canary-5f0c2e71d9"  # the value of a secret: it may stand nowhere
SECRET = "CAMPAIGN_PASSWORD"
HANG_SECONDS, HANG_CPU_SECONDS = 300.0, 30.0  # a loaded machine is slow, not hung


class Hang(BaseException):
    """The alarm of an attempt that takes too long."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise Hang


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The working folder of the attempts, and a secret in the environment that must not come out."""
    before, known = Path.cwd(), os.environ.get(SECRET)
    os.chdir(folder)
    os.environ[SECRET] = CANARY
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop(SECRET, None)
        if known is not None:
            os.environ[SECRET] = known


def call(work: Callable[[Sequence[str]], int], words: Sequence[str]) -> Outcome:
    """`work(words)` with its output caught; an exception that leaves it is a traceback, an alarm a hang."""
    out, err = io.StringIO(), io.StringIO()
    begun, code = time.monotonic(), None
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM, signal.SIGVTALRM)
    }
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_CPU_SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = work(words)
    except Hang:
        err.write(f"\n{''.join(traceback.format_exc()[-1500:])}".replace(TRACEBACK, "hang at"))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  what leaves a command is what the campaign looks for
        code = 1
        err.write(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        logging.getLogger("cogexp").handlers = []
    return Outcome(code=code, stdout=out.getvalue(), stderr=err.getvalue(), seconds=time.monotonic() - begun)
