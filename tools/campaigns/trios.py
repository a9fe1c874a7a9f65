"""Three processes on one spec at once: one makes the run, the others wait for it and take the result.

Attempts take turns through: own and equal process ids (each is process 1 of a container of its own, all with
one host name), a store that keeps everything and one that keeps nothing, a single run, a sweep and a forced
repeat; in some of them one of the three is killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tools.campaigns import forks
from tools.campaigns.harness import Tally, main

KINDS = (("seed=0",), ("-m", "seed=0,1", "study=trio"), ("seed=0", "force=true"))
SMALL_STORE_GB = 0.00005  # 50 kB: latents of these runs fit, frames do not
_PIXELS: dict[str, str] = {}  # run id -> the clip of its first, undisturbed run


def attempt(tally: Tally, chance: random.Random, folder: Path, index: int) -> None:
    """Start three, wait for all, and look at what they left."""
    kind, alike, small = KINDS[index % 3], index // 3 % 2 == 1, index // 6 % 2 == 1
    killed = index % 4 == 3
    name = f"{index}: {' '.join(kind)} alike={alike} small={small} killed={killed}"
    work = folder / f"trio-{index}"
    work.mkdir()
    log, outputs = work / "log.txt", work / "outputs"
    words = [*kind, f"store_gb={SMALL_STORE_GB if small else 20}"]
    children = []
    for _ in range(3):
        children.append(forks.fork(partial(forks.command, words, outputs), log, alike=alike))
        time.sleep(chance.random() * 0.1)
    if killed:
        time.sleep(chance.random())
        os.killpg(children[0], signal.SIGKILL)
    codes = [forks.wait(child) for child in children]
    expected = [0, 0, 0]
    if killed and codes[0] != 0:
        expected[0] = codes[0] or 0
    if codes != expected:
        tally.fault("hang" if None in codes else "exit code", name, f"{codes} {log.read_text()[-1500:]}")
    statuses = forks.check_runs(tally, name, outputs, _PIXELS)
    if set(statuses.values()) != {"ok"}:
        tally.fault("not finished", name, str(statuses))
    forks.check_left(tally, name, outputs)
    forks.check_log(tally, name, log)
    if "study=trio" in kind:
        forks.check_study(tally, name, outputs, "trio")
    shutil.rmtree(work)
    tally.note("all took one result" if codes == [0, 0, 0] else "the others took over")


def prepare(folder: Path) -> None:
    """Load everything, and make both runs undisturbed: their frames are what all others must have."""
    forks.warm()
    outputs = folder / "undisturbed"
    forks.undisturbed(["-m", "seed=0,1"], outputs, folder / "undisturbed.txt")
    forks.check_runs(Tally(campaign="trios", seed=0), "undisturbed", outputs, _PIXELS)


def run(arguments: Sequence[str] | None = None) -> Tally:
    """The campaign with its command line."""
    return main("trios", attempt, count=100, description=__doc__, prepare=prepare, arguments=arguments)


if __name__ == "__main__":
    sys.exit(bool(run().faults))
