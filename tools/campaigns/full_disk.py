"""Full and read-only disks at each write: what was finished stays, and healed the same command succeeds.

Attempts go through the kinds of work and through their writing operations, n = 1, 2, ...: the n-th one fails,
once or from there on, as on a full, a read-only or a broken disk (a run has some 48). As root
the first attempts use real file systems below the campaign's folder: a tmpfs that is nearly full, and the
outputs mounted read-only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from cogexp import record as records
from cogexp.__main__ import main as command
from tools.campaigns import harness
from tools.campaigns.disk import FailingDisk
from tools.campaigns.harness import Tally

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO)
SMALL = (
    "model=nano", "device=cpu", "resolution=64x64", "resolution.frames=9", "sampler.steps=1",
    "metrics.names=none", "tracking=off", "study=campaign",
)  # fmt: skip
KEPT_SEEDS, NEW_SEED = (0, 1), 2
BALLAST_KIB = (4, 16, 64, 200)  # what a nearly full disk leaves free


@dataclass(frozen=True, kw_only=True)
class Result:
    """One command in this process: its exit code (None: an exception left it) and what it wrote."""

    code: int | None
    text: str


def call(*words: str) -> Result:
    """A command's exit code and output; an exception is no exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: int | None = command(list(words))
        except BaseException:  # noqa: BLE001 - whatever leaves a command is the fault that is looked for
            code = None
            traceback.print_exc()
    return Result(code=code, text=out.getvalue() + err.getvalue())


def _run(outputs: Path) -> list[str]:
    return [*SMALL, f"seed={NEW_SEED}", f"outputs={outputs}"]


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "run": _run,
    "sweep": lambda outputs: ["-m", *SMALL, f"seed=1,{NEW_SEED}", f"outputs={outputs}"],
    "force": lambda outputs: [*SMALL, f"seed={NEW_SEED}", f"outputs={outputs}", "force=true"],
    "report": lambda outputs: ["report", str(outputs)],
    "pick": lambda outputs: ["pick", str(outputs), "--json", "minimize=seconds"],
    "export": lambda outputs: ["export", str(outputs), str(outputs / "runs.csv")],
}
if find_spec("wandb_workspaces") is not None:
    KINDS["dashboard"] = lambda outputs: ["dashboard", str(outputs), "--dry-run"]


def prepare(folder: Path) -> None:
    """Two finished runs, and what the third one's clip is when nothing fails."""
    base, reference = folder / "base", folder / "reference"
    if not base.exists():
        for outputs, seeds in ((base, KEPT_SEEDS), (reference, (NEW_SEED,))):
            made = call("-m", *SMALL, f"seed={','.join(map(str, seeds))}", f"outputs={outputs}")
            if made.code:
                raise SystemExit(f"the campaign's own runs failed:\n{made.text}")


def attempt(
    tally: Tally, dice: random.Random, folder: Path, index: int, kinds: tuple[str, ...] = tuple(KINDS)
) -> None:
    """The kind and the operation by the index; the error, and whether the disk stays broken, by the dice."""
    kind, at = kinds[index % len(kinds)], 1 + index // len(kinds)
    outputs = folder / "attempt"
    shutil.rmtree(outputs, ignore_errors=True)
    shutil.copytree(folder / "base", outputs)
    before = digests(outputs)
    disk = FailingDisk(outputs, at=at, number=dice.choice(ERRORS), stays=dice.random() < 0.5)
    with disk.injected():
        broken = call(*KINDS[kind](outputs))
    what = f"--only {index}: {kind}, {disk.failed[0] if disk.failed else 'nothing'} fails"
    tally.note(f"{kind}: {'no fault' if not disk.failed else f'exit {broken.code}'}")
    judge(tally, what, kind, broken, outputs, before)
    healed = call(*KINDS[kind](outputs))
    if healed.code != 0:
        tally.fault("not healed", what, healed.text)
    judge(tally, f"{what}, healed", kind, healed, outputs, before)
    if left := [path.name for path in outputs.rglob("*.tmp")]:
        tally.fault("leftover", what, ", ".join(left))
    if kind in ("run", "sweep", "force") and not _same_clip(folder, outputs):
        tally.fault("other pixels", what)


def judge(tally: Tally, what: str, kind: str, result: Result, outputs: Path, before: dict[str, str]) -> None:
    """No traceback; what was finished is as it was; 'done' means that the run is there and whole."""
    if result.code is None or harness.TRACEBACK in result.text:
        tally.fault("traceback", what, result.text)
    elif result.code not in (0, 1, 2):
        tally.fault(f"exit {result.code}", what, result.text)
    now = digests(outputs)
    for name, digest in before.items():
        if now.get(name) != digest:
            tally.fault("finished result changed", what, name)
    for record in records.load_many(outputs):
        gone = [
            file for file in record.files.values() if not (outputs / "runs" / record.run_id / file).is_file()
        ]
        if record.status == "ok" and gone:
            tally.fault("ok without its files", what, ", ".join(gone))
    if kind in ("run", "sweep", "force") and result.code == 0 and len(_done(outputs)) != 3:
        tally.fault("exit 0 without a finished run", what, result.text)


def digests(outputs: Path) -> dict[str, str]:
    """Records and clips of the finished runs, by path."""
    files = [file for pattern in ("record.json", "*.mp4") for file in outputs.glob(f"runs/*/{pattern}")]
    names = {file.relative_to(outputs).as_posix(): file for file in files if not file.name.startswith(".")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in names.items()}


def _done(outputs: Path) -> list[str]:
    return [record.run_id for record in records.load_many(outputs) if record.status == "ok"]


def _same_clip(folder: Path, outputs: Path) -> bool:
    (wanted,) = (folder / "reference").glob("runs/*/native.mp4")
    made = outputs / "runs" / wanted.parent.name / "native.mp4"
    return made.is_file() and made.read_bytes() == wanted.read_bytes()


@contextlib.contextmanager
def mounted(target: Path, *options: str) -> Iterator[bool]:
    """`mount OPTIONS target` inside the block, True; False where this process may not."""
    target.mkdir(exist_ok=True)
    allowed = os.name == "posix" and os.geteuid() == 0 and shutil.which("mount") is not None
    there = allowed and subprocess.run(["mount", *options, target], capture_output=True).returncode == 0
    try:
        yield there
    finally:
        if there:
            subprocess.run(["umount", "--lazy", target], check=False, capture_output=True)


def nearly_full(tally: Tally, folder: Path, kib: int, kind: str) -> None:
    """A tmpfs with `kib` KiB left; healed by removing what fills it."""
    disk = folder / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=16m", "tmpfs") as there:
        if not there:
            tally.note("tmpfs: skipped, mounting needs root")
            return
        outputs, ballast = disk / "outputs", disk / "ballast"
        shutil.copytree(folder / "base", outputs)
        before = digests(outputs)
        free = shutil.disk_usage(disk).free - kib * 1024
        ballast.write_bytes(bytes(max(free, 0)))
        what = f"{kind} with {kib} KiB free"
        broken = call(*KINDS[kind](outputs))
        tally.note(f"tmpfs {kind}: exit {broken.code}")
        judge(tally, what, kind, broken, outputs, before)
        ballast.unlink()
        healed = call(*KINDS[kind](outputs))
        if healed.code != 0:
            tally.fault("not healed", what, healed.text)
        judge(tally, f"{what}, healed", kind, healed, outputs, before)


def read_only(tally: Tally, folder: Path) -> None:
    """Commands that only read work; those that write say so in lines and leave everything as it is."""
    place = folder / "read-only"
    with mounted(place, "--bind", str(folder / "base")) as there:
        remount = ["mount", "-o", "remount,ro,bind", str(place)]
        if not there or subprocess.run(remount, capture_output=True).returncode:
            tally.note("read-only: skipped, mounting needs root")
            return
        before, out = digests(place), folder / "elsewhere.html"
        for code, words in (
            (0, KINDS["pick"](place)),
            (0, ["export", str(place)]),
            (0, ["report", str(place), "--out", str(out)]),
            (0, [*SMALL, "seed=0", f"outputs={place}"]),  # done before
            (2, KINDS["report"](place)),
            (1, _run(place)),
        ):
            result, what = call(*words), f"read-only: {' '.join(words)}"
            tally.note(f"read-only {words[0] if '=' not in words[0] else 'run'}: exit {result.code}")
            judge(tally, what, "reads", result, place, before)
            if result.code != code:
                tally.fault(f"exit {result.code} instead of {code}", what, result.text)


def with_mounts(tally: Tally, dice: random.Random, folder: Path, index: int) -> None:
    """Real file systems first, then the injected faults."""
    full = [(kib, kind) for kib in BALLAST_KIB for kind in ("run", "report")]
    if index == 0:
        read_only(tally, folder)
    elif index <= len(full):
        nearly_full(tally, folder, *full[index - 1])
    else:
        attempt(tally, dice, folder, index - len(full) - 1)


if __name__ == "__main__":
    found = partial(harness.main, "full_disk", with_mounts, count=350, description=__doc__)
    sys.exit(bool(found(prepare=prepare).faults))
