"""What every campaign shares: its options, one bounded command, the tally and its verdict.

A campaign writes below one folder only, is bounded in count and time, and repeats from its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One command: its exit code (None: it hung and was killed), its output and its time."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float

    def faults(self) -> Iterator[str]:
        """What no command may do, whatever it was given."""
        if self.code is None:
            yield "hang"
        if TRACEBACK in self.stderr or TRACEBACK in self.stdout:
            yield "traceback"
        if self.code is not None and self.code < 0:
            yield f"killed by signal {-self.code}"


@dataclass(kw_only=True)
class Tally:
    """Attempts by outcome, and every fault with the words that repeat it."""

    campaign: str
    seed: int
    attempts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, outcome: str) -> None:
        self.attempts += 1
        self.outcomes[outcome] += 1

    def fault(self, kind: str, attempt: str, detail: str = "") -> None:
        self.faults.append({"kind": kind, "attempt": attempt, "detail": detail[-2000:]})

    def summary(self) -> dict[str, object]:
        return {
            "campaign": self.campaign,
            "seed": self.seed,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 1),
            "outcomes": dict(sorted(self.outcomes.items())),
            "faults": dict(Counter(fault["kind"] for fault in self.faults)),
        }


def environment(**extra: str) -> dict[str, str]:
    """This process's environment for a child that imports this checkout, offline and without W&B."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "PYTHONFAULTHANDLER": "",
        **extra,
    }


def cogexp(words: Sequence[str], folder: Path, *, timeout_s: float = 120.0, **extra: str) -> Outcome:
    """`python -m cogexp WORDS` in a folder; its whole process group is killed after `timeout_s` seconds."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cogexp", *words],
        cwd=folder,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code = None
    return Outcome(
        code=code,
        stdout=out.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
        seconds=time.monotonic() - begun,
    )


def main(
    campaign: str,
    attempt: Callable[[Tally, random.Random, Path, int], None],
    *,
    count: int,
    description: str | None,
    prepare: Callable[[Path], None] | None = None,
    arguments: Sequence[str] | None = None,
) -> Tally:
    """Call `attempt(tally, random, folder, index)` up to `--count` times or `--seconds`; print a summary.

    Each attempt has a generator seeded by the campaign's seed and its index, so `--only INDEX` repeats it.
    A campaign's module ends with `sys.exit(bool(main(...).faults))`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tools.campaigns.{campaign}", description=description)
    parser.add_argument("--count", type=int, default=count, help="attempts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what the attempts are drawn from")
    parser.add_argument(
        "--seconds", type=float, default=7200.0, help="stop after this time (default: %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where everything is written (default: a temporary folder)"
    )
    parser.add_argument("--only", type=int, help="repeat one attempt by its index")
    options = parser.parse_args(arguments)
    tally = Tally(campaign=campaign, seed=options.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"cogexp-{campaign}-") as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if prepare is not None:
            prepare(folder)
        for index in range(options.count) if options.only is None else [options.only]:
            if time.monotonic() - begun > options.seconds:
                break
            attempt(tally, random.Random(f"{options.seed}:{index}"), folder, index)
            if sys.stderr.isatty() or index % 100 == 99:
                print(f"{campaign}: {index + 1}, {len(tally.faults)} faults", file=sys.stderr, flush=True)
    tally.seconds = time.monotonic() - begun
    print(json.dumps(tally.summary(), indent=1))
    for fault in tally.faults[:50]:
        print(json.dumps(fault, ensure_ascii=False), file=sys.stderr)
    return tally
