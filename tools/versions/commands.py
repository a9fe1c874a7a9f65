"""The commands that are tried in every environment, the process that runs them, what counts as a fault."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tools.campaigns.harness import Outcome, environment

# What is small enough for a CPU, and still passes through every stage.
SMALL = ("resolution=128x80", "sampler.steps=5", "sampler.guidance=6", "tracking=off")
APPROXIMATIONS = ("pab", "fastercache", "firstblock", "taylorseer", "magcache", "int8", "gguf-q4")
# The words after `python -m cogexp`; one with a star stands for the files that match.
CHECKS: dict[str, tuple[str, ...]] = {
    "the main job": ("resolution=512x288", "upscaler=esrgan"),
    "a sweep": ("-m", *SMALL, "upscaler=none,lanczos", "prompt=wolves,water", "study=versions"),
    "`measure`": ("measure", "outputs/runs/*/*.mp4", "--json"),
    "`report --grid`": ("report", "outputs", "study=versions", "--grid", "upscaler", "prompt"),
    "`pick`": ("pick", "outputs", "study=versions", "minimize=tear"),
    "`export runs.parquet`": ("export", "outputs", "runs.parquet", "--to", "parquet"),
    "`dashboard --dry-run`": ("dashboard", "outputs", "study=versions", "--dry-run"),
    "`plan`": ("plan", "model=cogvideox-5b", "resolution=512x288", "gpu=24GB"),
    "`plan exact=true`": (
        "plan", "model=cogvideox-2b", "resolution=256x144", "resolution.frames=9", "exact=true",
    ),
    "`inspect`": ("inspect", "model=cogvideox-5b", "resolution=512x288", "against=720x480"),
    "`inspect activations=true`": ("inspect", *SMALL, "activations=true"),
    **{
        f"`quality optimization={name}`": ("quality", *SMALL, f"optimization={name}")
        for name in APPROXIMATIONS
    },
    "`optimization=compile-blocks`": (*SMALL, "optimization=compile-blocks", "metrics=none"),
    "`optimize`": ("optimize", *SMALL, "minimize=tear", "trials=2", "seed=0", "upscaler=none,lanczos"),
    "`hydra/launcher=overlap`": ("-m", *SMALL, "hydra/launcher=overlap", "seed=1,2"),
    "`hydra/launcher=ray`": ("-m", *SMALL, "hydra/launcher=ray", "seed=3,4"),
}  # fmt: skip
PROGRAM = ("-m", "tools.versions.worker")
NAMES_A_VERSION = re.compile(r"needs .*(?:>=|<=|<|>|==) ?\d")


def judged(outcome: Outcome) -> str:
    """'works', 'refused: the line', or 'FAULT: what happened'."""
    if found := list(outcome.faults()):
        return f"FAULT: {', '.join(found)}: {_last_line(outcome)}"
    if outcome.code == 0:
        return "works"
    lines = outcome.stderr.strip().splitlines()
    if outcome.code == 2 and len(lines) <= 2 and NAMES_A_VERSION.search(outcome.stderr):
        return f"refused: {' '.join(lines).removeprefix('cogexp: ')}"
    return f"FAULT: exit code {outcome.code}: {_last_line(outcome)}"


def _last_line(outcome: Outcome) -> str:
    lines = [line.strip() for line in f"{outcome.stdout}\n{outcome.stderr}".splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def expanded(words: Sequence[str], folder: Path) -> Iterator[str]:
    """The words with those that have a star replaced by the files that match."""
    for word in words:
        yield from (str(file) for file in sorted(folder.glob(word))) if "*" in word else [word]


class Worker:
    """A process of the environment under test that runs commands in `folder`; after a hang, another one."""

    def __init__(self, interpreter: str, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        self._command = [interpreter, *program]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, name: str, words: list[str], timeout_s: float) -> Outcome:
        """One command; code None: it hung, a negative one: the process died of that signal."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        file = self._folder / re.sub(r"\W+", "-", name).strip("-")
        texts = [Path(f"{file}{ending}") for ending in (".out", ".err")]
        for text in texts:
            text.write_bytes(b"")  # a process that dies at once leaves none
        begun = time.monotonic()
        process.stdin.write(json.dumps([words, str(file)]) + "\n")
        process.stdin.flush()
        answered = bool(select.select([process.stdout], [], [], timeout_s)[0])
        line = process.stdout.readline().strip() if answered else ""
        code = int(line) if line else (process.wait() if answered else None)
        if not line:
            self._end()
        out, err = (text.read_text(encoding="utf-8", errors="replace") for text in texts)
        return Outcome(code=code, stdout=out, stderr=err, seconds=time.monotonic() - begun)

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=environment(WANDB_MODE="offline"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _end(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
