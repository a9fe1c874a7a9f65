"""Kill runs, sweeps, forced repeats and saves at random moments, look at what they left, and start again.

What was finished stays finished, with its own frames; what was killed is still to do, and the next start does
it. SIGTERM and SIGINT leave a record, or nothing was begun. The launchers take turns; those that start new
interpreters (overlap, workers, submitit, ray) come less often.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from cogexp import record as records
from cogexp.study import manifest
from cogexp.tracking import dashboard_saved
from tools.campaigns import forks
from tools.campaigns.harness import Tally, main

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SWEEP = ("-m", "seed=0,1", "study=kills")
# What is killed, and how many of every 20 attempts do that.
KINDS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("saves", (), 7),
    ("run", ("seed=1",), 3),
    ("forced repeat", ("seed=0", "force=true"), 3),
    ("sweep", SWEEP, 3),
    ("overlap", (*SWEEP, "hydra/launcher=overlap"), 1),
    ("workers", (*SWEEP, "hydra/launcher=workers", "hydra.launcher.workers=2"), 1),
    (
        "submitit",
        (
            *SWEEP,
            "hydra/launcher=submitit",
            "hydra.launcher.cluster=local",
            "hydra.launcher.gpus_per_node=0",
            "hydra.launcher.cpus_per_task=1",
            "hydra.launcher.mem_gb=1",
        ),
        1,
    ),
    ("ray", (*SWEEP, "hydra/launcher=ray", "hydra.launcher.workers=1"), 1),
)
COLD = ("overlap", "workers", "submitit", "ray")  # they start interpreters, which takes them seconds
NEEDS = {"submitit": "submitit", "ray": "ray"}
ORPHANS_SECONDS = 120.0  # jobs of submitit and Ray may outlive the process that was killed
_PIXELS: dict[str, str] = {}
_SECONDS: dict[str, float] = {}  # how long an undisturbed one of a kind takes


def attempt(tally: Tally, chance: random.Random, folder: Path, index: int) -> None:
    """One kill: what it left, and what the next start makes of it."""
    turns = [kind for kind in KINDS for _ in range(kind[2])]
    name, words, _ = turns[(index * 7) % len(turns)]  # 7 and 20 share no factor: kinds are mixed
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        tally.note(f"{name}: not installed")
        return
    number, group = chance.choice(SIGNALS), chance.random() < 0.5
    title = f"{index}: {name}, {number.name}{' to the group' if group else ''}"
    work = folder / f"kill-{index}"
    shutil.copytree(folder / "template", work)
    if name == "saves":
        _kill_saves(tally, chance, work, title)
    else:
        _kill_command(tally, chance, work, title, (name, words, number, group))
    shutil.rmtree(work, ignore_errors=True)


def _kill_command(
    tally: Tally,
    chance: random.Random,
    work: Path,
    title: str,
    kind: tuple[str, tuple[str, ...], signal.Signals, bool],
) -> None:
    name, words, number, group = kind
    outputs, log = work / "outputs", work / "log.txt"
    child = forks.fork(partial(_in_folder, words, work), log)
    moment = chance.random() * _SECONDS.get(name, 20.0 if name in COLD else 5.0) * 1.1
    code = _kill_after(child, moment, number, group)
    for process in forks.outlive(work, ORPHANS_SECONDS):
        tally.fault("outlives its sweep", title, str(process))
    if code not in (0, 130, -number):
        tally.fault("hang" if code is None else "exit code", title, f"{code} {log.read_text()[-1500:]}")
    statuses = forks.check_runs(tally, title, outputs, _PIXELS)
    finished = next(iter(_PIXELS))  # the template's run
    if name != "forced repeat" and statuses[finished] != "ok":
        tally.fault("finished result lost", title, str(statuses))
    if number != signal.SIGKILL and code == 130 and name not in COLD:
        _check_recorded(tally, title, outputs, statuses)
    _start_again(tally, title, (words, work, name != "forced repeat"))
    tally.note(f"{name}: {'ended before' if code == 0 else 'killed'}")


def _in_folder(words: Sequence[str], work: Path) -> int:
    os.chdir(work)
    return forks.command(words, Path("outputs"))


def _kill_after(child: int, seconds: float, number: signal.Signals, group: bool) -> int | None:
    """The exit code of a child that gets the signal after so many seconds, if it still lives then."""
    if (code := forks.exit_within(child, seconds)) is not None:
        return code
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(child, number)
    return forks.wait(child)


def _check_recorded(tally: Tally, title: str, outputs: Path, statuses: dict[str, str]) -> None:
    """A run that had begun (its log is there) has a record of its interruption."""
    for run_id, status in statuses.items():
        if not status and (outputs / "runs" / run_id / "log.txt").is_file():
            tally.fault("interrupted without a record", title, run_id)
        if status in ("failed", "oom"):
            tally.fault("interrupted called failed", title, run_id)


def _start_again(tally: Tally, title: str, what: tuple[tuple[str, ...], Path, bool]) -> None:
    words, work, once = what
    outputs, log = work / "outputs", work / "again.txt"
    plain = [word for word in words if not word.startswith(("hydra", "force"))]
    code = forks.wait(forks.fork(partial(_in_folder, plain, work), log))
    if code != 0:
        tally.fault("does not go on", title, f"{code} {log.read_text()[-1500:]}")
    statuses = forks.check_runs(tally, title, outputs, _PIXELS)
    if set(statuses.values()) != {"ok"}:
        tally.fault("not finished", title, str(statuses))
    forks.check_left(tally, title, outputs)
    for text in (log, work / "log.txt"):
        forks.check_log(tally, title, text)
    if once and "study=kills" in words:
        forks.check_study(tally, title, outputs, "kills")


def _kill_saves(tally: Tally, chance: random.Random, work: Path, title: str) -> None:
    """A process that saves records, manifests and addresses without end: all stay readable."""
    log, saves = work / "log.txt", work / "saves"
    child = forks.fork(partial(_save_for_ever, saves), log)
    while not (saves / "runs").is_dir():
        time.sleep(0.005)
    code = _kill_after(child, chance.random() * 0.5, signal.SIGKILL, False)
    if code != -signal.SIGKILL:
        tally.fault("exit code", title, f"{code} {log.read_text()[-1500:]}")
    forks.check_runs(tally, title, saves, {})
    listed = manifest.read(saves, "s")
    if (saves / "studies" / "s.json").exists() and (listed is None or not listed.runs):
        tally.fault("manifest lost", title)
    before = dashboard_saved.addresses(saves)
    if (saves / dashboard_saved.FILE).exists() and not before:
        tally.fault("addresses lost", title)
    manifest.write(saves, manifest.Manifest(study="s", runs=("another",)))
    dashboard_saved.remember(saves, "another", "https://wandb.invalid/another")
    after = manifest.read(saves, "s")
    if after is None or set(listed.runs if listed else ()) - set(after.runs):
        tally.fault("manifest lost runs", title)
    if set(before) - set(dashboard_saved.addresses(saves)):
        tally.fault("addresses lost", title)
    tally.note("saves: killed")


def _save_for_ever(saves: Path) -> int:
    template = next((saves.parent / "outputs" / "runs").iterdir())
    record = records.read(template)
    folder = saves / "runs" / record.run_id
    shutil.copytree(template, folder)
    for turn in range(1_000_000):
        records.retire(folder)
        records.write(records.with_digests(record, folder), folder)
        manifest.write(saves, manifest.Manifest(study="s", runs=(f"run-{turn}",)))
        dashboard_saved.remember(saves, f"key-{turn}", f"https://wandb.invalid/{turn}")
    return 0


def prepare(folder: Path) -> None:
    """Load everything; the template holds one finished run, and both runs' frames are known."""
    forks.warm()
    for place, seed in (("template", 0), ("undisturbed", 1)):
        seconds = forks.undisturbed([f"seed={seed}"], folder / place / "outputs", folder / f"{place}.txt")
        forks.check_runs(Tally(campaign="kills", seed=0), place, folder / place / "outputs", _PIXELS)
    _SECONDS.update({"run": seconds, "forced repeat": seconds, "sweep": 2 * seconds})


def run(arguments: Sequence[str] | None = None) -> Tally:
    """The campaign with its command line."""
    return main("kills", attempt, count=300, description=__doc__, prepare=prepare, arguments=arguments)


if __name__ == "__main__":
    sys.exit(bool(run().faults))
