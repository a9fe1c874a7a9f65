"""Damaged records, manifests, journals, measurements, configs and checkpoints through every command that reads.

No traceback, no hang, nothing written or embedded from outside the outputs folder, no secret, no code; and
the records that were left alone are still there.
"""

# ruff: noqa: E501  (lists of hostile values read better in rows)
from __future__ import annotations

import base64
import json
import random
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.campaigns import harness
from tools.campaigns.damage import HOSTILE, damage
from tools.campaigns.inprocess import CANARY, call, working_in
from tools.campaigns.readers import READERS
from tools.campaigns.small_study import make_base

OUTSIDE = b"bytes of somebody else's file, which no report may hold " * 4
_base: dict[str, bytes] = {}
_hit: list[str] = []  # what the attempt before damaged


# Which files a reader looks at; else all of them.
LOOKS_AT = {"bench": "bench/", "search": "studies/search", "checkpoint": "checkpoint/", "config": "runs/"}


def prepare(folder: Path) -> None:
    """The files of the study in memory, and what lies outside of it."""
    _base.clear()
    _hit.clear()
    shutil.rmtree(folder / "outputs", ignore_errors=True)
    with working_in(folder):
        _base.update(make_base(folder))
    shutil.rmtree(folder / "base")
    outside = folder / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    (outside / "folder").mkdir(parents=True)
    (outside / "secret.mp4").write_bytes(OUTSIDE)
    (outside / "folder" / "native.mp4").write_bytes(OUTSIDE)
    (outside / "record.json").write_bytes(OUTSIDE)


def attempt(tally: harness.Tally, rng: random.Random, folder: Path, index: int) -> None:
    """One to three files damaged, one command that reads them."""
    outputs = folder / "outputs"
    _restore(outputs, _hit or list(_base))
    reader = rng.choices(READERS, [one.weight for one in READERS])[0]
    names = [name for name in _base if name.startswith(LOOKS_AT.get(reader.name, ""))]
    if reader.name not in LOOKS_AT and rng.random() < 0.7:
        names = [name for name in names if name.endswith("record.json")]
    hit = rng.sample(names, min(len(names), rng.choice((1, 1, 1, 2, 3))))
    _hit[:] = hit
    done = [f"{name}: {_damaged(outputs, name, rng)}" for name in hit]
    before = _state(folder)
    with working_in(folder):
        outcome = call(lambda words: reader.work(outputs), [])
    shown = f"{reader.name}: {'; '.join(done)}"
    for fault in outcome.faults():
        tally.fault(fault, shown, outcome.stderr)
    for fault in _leaks(outcome, outputs):
        tally.fault(fault, shown, outcome.stderr)
    if _state(folder) != before or (folder / "pwned").exists():
        tally.fault("written outside", shown, outcome.stderr)
    if reader.name == "load" and (gone := _untouched(hit) - set(_listed(outcome.stdout))):
        tally.fault("another record left out", f"{shown}: {sorted(gone)}", outcome.stderr)
    if outcome.code == 2 and len(outcome.stderr.strip().splitlines()) > 3 + len(hit):
        tally.fault("a long refusal", shown, outcome.stderr)
    tally.note(f"{reader.name}: exit {outcome.code}")


def _restore(outputs: Path, names: Sequence[str]) -> None:
    """Put the files of these names back, and take away what commands wrote."""
    written = [*(outputs / "reports").glob("*"), *(outputs / "studies").glob("*.lock")]
    for file in (*(outputs / name for name in names), *written):
        if file.parent.is_symlink():
            file.parent.unlink()
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
    runs = {str(Path(name).parent) for name in names}
    changed = ("reports/", "studies/")
    for name, content in _base.items():
        if name in names or name.startswith(changed) or str(Path(name).parent) in runs:
            (outputs / name).parent.mkdir(parents=True, exist_ok=True)
            (outputs / name).write_bytes(content)


def _damaged(outputs: Path, name: str, rng: random.Random) -> str:
    """One file damaged; now and then the whole folder of a run is a link."""
    file = outputs / name
    if name.startswith("runs/") and rng.random() < 0.03 and not file.parent.is_symlink():
        shutil.rmtree(file.parent)
        file.parent.symlink_to(outputs.parent / "outside" / "folder")
        return "its folder is a link"
    return damage(file, rng) if file.parent.is_dir() and not file.parent.is_symlink() else "gone before"


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of all that lies beside the outputs."""
    return sorted(
        (str(f.relative_to(folder)), f.lstat().st_size, f.lstat().st_mtime_ns)
        for f in (*folder.iterdir(), *(folder / "outside").rglob("*"))
        if f.name != "outputs"
    )


def _leaks(outcome: harness.Outcome, outputs: Path) -> list[str]:
    """What came out that must not: the secret, a stranger's bytes, markup, what steers a terminal."""
    printed = outcome.stdout + outcome.stderr
    faults = ["steering output"] if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed) else []
    written = [f for f in (outputs / "reports").glob("*") if f.is_file() and f.name != "wandb-saved.json"]
    pages = "".join(f.read_text(encoding="utf-8", errors="replace") for f in written)
    for text in (printed, pages):
        if CANARY in text:
            faults.append("secret")
        if OUTSIDE[:40].decode() in text or base64.b64encode(OUTSIDE[:39]).decode() in text:
            faults.append("a stranger's bytes")
    if HOSTILE[:25] in pages and any(f.suffix == ".html" for f in written):
        faults.append("markup")
    return faults


def _untouched(hit: Sequence[str]) -> set[str]:
    """Runs whose folders were left alone."""
    runs = {name.split("/")[1] for name in _base if name.startswith("runs/")}
    return runs - {name.split("/")[1] for name in hit if name.startswith("runs/")}


def _listed(printed: str) -> list[str]:
    lines = [line for line in printed.splitlines() if line.startswith("[")]
    return list(json.loads(lines[-1])) if lines else []


def main(arguments: Sequence[str] | None = None) -> harness.Tally:
    """The campaign."""
    return harness.main(
        "mutations", attempt, count=20_000, description=__doc__, prepare=prepare, arguments=arguments
    )


if __name__ == "__main__":
    sys.exit(bool(main().faults))
