"""How much main memory one run may take where a launcher puts it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cogexp.launch.sbatch_options import is_slurm
from cogexp.plan.host import LIBRARIES_CPU_GIB
from cogexp.plan.preflight import HostRoom, here


def host_room(launcher: Mapping[str, Any], device: str, jobs: int) -> HostRoom:
    """The room of each of `jobs` runs with this launcher ("name" and its options, checked before)."""
    name = launcher["name"]
    if name == "submitit" and is_slurm(launcher.get("cluster")):
        gib = float(launcher["mem_gb"])
        return HostRoom(gib=gib, words=f"hydra.launcher.mem_gb={gib:g}")
    if name == "ray" and launcher.get("address"):
        return HostRoom(gib=math.inf, words="what the cluster has")
    found, workers = here(), launcher.get("workers", 1)
    count = min(workers, jobs) if name == "workers" and isinstance(workers, int) else 1
    if count > 1:
        words = f"{found.words} for {count} workers"
        return HostRoom(gib=found.gib / count, words=words)
    if name == "overlap" and device == "cpu":
        # The second process has the libraries, too.
        words = f"{found.words}, {LIBRARIES_CPU_GIB:g} GiB of them for overlap's second process"
        return HostRoom(gib=found.gib - LIBRARIES_CPU_GIB, words=words)
    return found
