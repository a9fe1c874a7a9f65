"""Cut the power: take the image of a mounted disk at random moments, replay its journal, look at the records.

The disk is a loop device with ext4, mounted without the kernel's own safety net for renamed files. Nothing
is flushed for the copy: what a program did not flush itself is lost, as in a power cut. The runs are those of
the package from their folder to their record; only the model is replaced by noise, so that many are made.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from cogexp import record as records
from cogexp.storage import durable
from cogexp.study import manifest
from tools.campaigns import forks
from tools.campaigns.harness import Tally, main

IMAGE_MB = 24
OPTIONS = "loop,noauto_da_alloc,commit=1"
MOST_COPIES = 500
MOST_RUNS = 5  # made before the cut
MADE = "one more run is made"
UNSAFE = "COGEXP_CAMPAIGN_UNSAFE"  # set: nothing is flushed, so that the campaign must find faults


class Unusable(RuntimeError):
    """This machine lets nobody mount an image: not root, no loop devices, no mkfs.ext4."""


def call(*words: str | Path) -> None:
    """Run a system command. Raises Unusable with its message."""
    try:
        subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unusable(f"there is no {words[0]}") from None
    except subprocess.CalledProcessError as error:
        raise Unusable(f"{words[0]}: {error.stderr.strip()}") from None


@contextmanager
def disk(image: Path, mount: Path, options: str) -> Iterator[Path]:
    """The image, mounted."""
    mount.mkdir(exist_ok=True)
    call("mount", "-o", options, image, mount)
    try:
        yield mount
    finally:
        for _ in range(100):
            if subprocess.run(["umount", str(mount)], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def take(image: Path, copy: Path) -> bool:
    """Copy the image of a disk in use as it was at one moment; False when it never stood still.

    Two copies in a row that are equal are the image between them.
    """
    before = b""
    for _ in range(MOST_COPIES):
        now = image.read_bytes()
        if now == before:
            copy.write_bytes(now)
            return True
        before = now
    return False


def attempt(tally: Tally, chance: random.Random, folder: Path, index: int) -> None:
    """One power cut while runs are made, and what the disk then says."""
    work, title = folder / f"cut-{index}", f"{index}"
    work.mkdir()
    image, copy = work / "disk.img", work / "copy.img"
    with image.open("wb") as file:
        file.truncate(IMAGE_MB * 2**20)
    call("mkfs.ext4", "-q", "-F", image)
    with disk(image, work / "disk", OPTIONS) as mounted:
        child = forks.fork(partial(_runs, mounted / "outputs"), work / "log.txt")
        _wait_for(work / "log.txt", chance.randrange(MOST_RUNS))
        time.sleep(chance.random() * 0.5)
        taken = take(image, copy)
        os.kill(child, signal.SIGKILL)
        code = forks.wait(child)
    if code != -signal.SIGKILL:
        tally.fault("exit code", title, f"{code} {(work / 'log.txt').read_text()[-1500:]}")
    if not taken:
        tally.note("the disk never stood still")
    else:
        with disk(copy, work / "after", "loop") as after:
            _check(tally, title, after / "outputs")
    shutil.rmtree(work)


def _wait_for(log: Path, runs: int) -> None:
    """Until so many runs were made, at most a minute each."""
    deadline = time.monotonic() + 60.0 * (runs + 1)
    while time.monotonic() < deadline:
        if log.is_file() and log.read_bytes().count(MADE.encode()) >= runs:
            return
        time.sleep(0.01)


def _check(tally: Tally, title: str, outputs: Path) -> None:
    """Every record that is there can be read, every one that says ok has its files, every run was listed."""
    statuses = forks.check_runs(tally, title, outputs, _Any())
    listed = manifest.read(outputs, "cuts")
    if missing := set(statuses) - set(listed.runs if listed else ()):
        tally.fault("manifest lost runs", title, str(missing))
    done = sum(status == "ok" for status in statuses.values())
    tally.note(f"{min(done, 3)}{' or more' if done >= 3 else ''} runs finished before")


class _Any(dict[str, str]):
    """Frames of noise: whatever was recorded is right."""

    def setdefault(self, key: str, default: str = "") -> str:
        return default


def _runs(outputs: Path) -> int:
    """Runs without end, listed in their study first, as sweeps do it."""
    from cogexp import build, run
    from cogexp.engine import generate

    if UNSAFE in os.environ:
        _flush_nothing()
    noise = np.random.default_rng(0)
    stand_in: dict[str, Callable[..., object]] = {
        "decode": lambda spec, latents, device: iter([noise.integers(0, 255, (9, 64, 64, 3), np.uint8)])
    }
    for name, function in stand_in.items():
        setattr(generate, name, function)
    from cogexp import stages

    stages.latents = lambda attempt, store, progress: _no_latents(attempt)  # type: ignore[assignment]
    for seed in range(1_000_000):
        request = build(
            {
                "model": {"name": "nano"}, "device": "cpu", "resolution": {"width": 64, "height": 64},
                "sampler": {"steps": 1}, "prompt": {"text": "two wolves"}, "metrics": {"names": "none"},
                "seed": seed,
            }
        )  # fmt: skip
        manifest.write(outputs, manifest.Manifest(study="cuts", runs=(request.spec.run_id,)))
        if run(request.spec, outputs, device="cpu", store_gb=0).status != "ok":
            return 1
        print(MADE, flush=True)
        if seed % 3 == 2:  # a forced repeat: the old record must not stand beside the new clip
            run(request.spec, outputs, device="cpu", store_gb=0, force=True)
        if seed >= 20:
            shutil.rmtree(outputs / "runs" / request.spec.run_id)  # the disk is small
    return 0


def _no_latents(attempt: object) -> None:
    for name in ("encode", "denoise"):
        with attempt.meter(name):  # type: ignore[attr-defined]
            pass


def _flush_nothing() -> None:
    def nothing(*_: object) -> None:
        return None

    os.fsync = nothing  # type: ignore[assignment]
    durable.flush_folder = nothing  # type: ignore[assignment]
    records.flush_folder = nothing  # type: ignore[attr-defined]


def prepare(folder: Path) -> None:
    """Load everything, and see that an image can be mounted here. Raises Unusable."""
    image = folder / "try.img"
    with image.open("wb") as file:
        file.truncate(4 * 2**20)
    call("mkfs.ext4", "-q", "-F", image)
    with disk(image, folder / "try", OPTIONS):
        pass
    forks.warm()


def run_campaign(arguments: Sequence[str] | None = None) -> Tally:
    """The campaign with its command line."""
    return main("power_cuts", attempt, count=50, description=__doc__, prepare=prepare, arguments=arguments)


if __name__ == "__main__":
    try:
        sys.exit(bool(run_campaign().faults))
    except Unusable as problem:
        print(f"power_cuts: not on this machine: {problem}", file=sys.stderr)
        sys.exit(2)
