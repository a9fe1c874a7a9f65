"""Tiny runs in children forked from a warmed process, and what must be true of the folders they leave.

A fresh interpreter needs six seconds to load torch; a fork has it at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil

from cogexp import record as records
from cogexp.study import manifest
from tools.campaigns.harness import TRACEBACK, Tally

WORDS = (
    "model=nano", "device=cpu", "resolution=64x64", "sampler.steps=1", "metrics=none", "tracking=off"
)  # fmt: skip
MODULES = (
    "cogexp.engine.generate",
    "cogexp.pictures",
    "cogexp.scores",
    "cogexp.stages",
    "diffusers",
    "transformers",
)
NEW_PID_NAMESPACE = 0x20000000  # CLONE_NEWPID, <sched.h>
HANG_SECONDS = 300.0


def warm() -> None:
    """Load what a run needs, and compute nothing: a fork beside libraries with threads may hang."""
    os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="disabled")
    from cogexp.machine import before_torch

    before_torch()
    for name in MODULES:
        import_module(name)


def undisturbed(words: Sequence[str], outputs: Path, log: Path) -> float:
    """Make the runs of WORDS in a child; its seconds. Raises SystemExit when it fails."""
    begun = time.monotonic()
    if wait(fork(partial(command, words, outputs), log)) != 0:
        raise SystemExit(f"the undisturbed run failed: {log.read_text()[-3000:]}")
    return time.monotonic() - begun


def command(words: Sequence[str], outputs: Path) -> int:
    """`python -m cogexp WORDS` in this process, with tiny settings."""
    from cogexp.__main__ import main

    flags = [word for word in words if word.startswith("-")]
    rest = [word for word in words if not word.startswith("-")]
    return main([*flags, *WORDS, f"outputs={outputs}", *rest])


def fork(work: Callable[[], int], log: Path, *, alike: bool = False) -> int:
    """Run `work` in a child, its output in `log`, its exit code `work`'s; the child's process id here.

    `alike`: for itself it is process 1, as in a container, where this user may do that; else it only
    believes so.
    """
    if child := os.fork():
        return child
    code = 70
    try:
        os.setsid()
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        if alike:
            _become_process_one()
        code = work()
    except BaseException:  # noqa: BLE001 - the child must end here, whatever it did
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _become_process_one() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_PID_NAMESPACE) == 0:
        if grandchild := os.fork():
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) % 256)
        return
    os.getpid = lambda: 1


def exit_within(child: int, seconds: float) -> int | None:
    """A child's exit code, negative for a signal; None when it still lives after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def wait(child: int, seconds: float = HANG_SECONDS) -> int | None:
    """A child's exit code, negative for a signal; None when it hung, and was killed."""
    if (code := exit_within(child, seconds)) is not None:
        return code
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def outlive(folder: Path, seconds: float) -> Iterator[psutil.Process]:
    """Processes that still work in `folder` after `seconds`; they are killed."""
    deadline = time.monotonic() + seconds
    while (left := [p for p in psutil.process_iter(["cwd"]) if _below(p.info["cwd"], folder)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    for process in left:
        yield process
        process.kill()


def _below(cwd: str | None, folder: Path) -> bool:
    return cwd is not None and Path(cwd).is_relative_to(folder)


def check_runs(tally: Tally, attempt: str, outputs: Path, pixels: dict[str, str]) -> dict[str, str]:
    """Run id -> its record's status ('' without one). Faults: 'ok' without its files, or with other frames.

    `pixels`: run id -> the digest of the native clip that an undisturbed run makes; new ones are added.
    """
    found = {}
    for folder in sorted((outputs / "runs").glob("*")):
        found[folder.name] = ""
        if not (folder / records.RECORD_FILE).is_file():
            continue
        try:
            record = records.read(folder)
        except records.RecordError as error:
            tally.fault("unreadable record", attempt, str(error))
            continue
        found[folder.name] = record.status
        if record.status == "ok":
            if not records.is_done(folder):
                tally.fault("ok without its files", attempt, folder.name)
            elif record.digests["native.mp4"]["sha256"] != pixels.setdefault(
                folder.name, record.digests["native.mp4"]["sha256"]
            ):
                tally.fault("other frames called ok", attempt, folder.name)
    return found


def check_left(tally: Tally, attempt: str, outputs: Path) -> None:
    """Faults: half-written files and locks that stay beside finished runs."""
    for path in (outputs / "runs").glob("*/.*"):
        tally.fault("left behind", attempt, path.name)


def check_log(tally: Tally, attempt: str, log: Path) -> None:
    """Fault: a traceback in what the children said."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    if TRACEBACK in text:
        tally.fault("traceback", attempt, text)


def check_study(tally: Tally, attempt: str, outputs: Path, study: str) -> None:
    """Fault: a run that was made for the study is not in its manifest."""
    listed = manifest.read(outputs, study)
    made = {folder.name for folder in (outputs / "runs").glob("*")}
    if listed is None or made - set(listed.runs):
        tally.fault("manifest lost runs", attempt, f"{made} {listed}")
