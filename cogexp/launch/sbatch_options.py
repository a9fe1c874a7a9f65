"""hydra.launcher.slurm.*: options of sbatch by submitit's names, checked before anything is submitted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from cogexp.spec import SpecError

PREFIX = "hydra.launcher.slurm."


def check(cluster: str | None, options: Mapping[str, Any]) -> None:
    """Raise SpecError for an option that submitit does not know, or that nobody would read.

    cluster: as in hydra.launcher.cluster; options: what stands under hydra.launcher.slurm.
    """
    if not options:
        return
    first = f"{PREFIX}{next(iter(options))}"
    if not is_slurm(cluster):
        where = f"with hydra.launcher.cluster={cluster}" if cluster else "where there is no Slurm"
        raise SpecError(f"{first} has no effect {where}; it takes hydra.launcher.cluster=slurm")
    import submitit

    known = sorted(submitit.SlurmExecutor._valid_parameters())
    for key in options:
        if key in known:
            continue
        near = get_close_matches(key, known, n=1, cutoff=0.6)
        other = f"{PREFIX}additional_parameters.{key}=... hands any other to sbatch"
        hint = f"nearest: {PREFIX}{near[0]}; {other}" if near else other
        raise SpecError(f"{PREFIX}{key} is no option that submitit knows; {hint}")


def is_slurm(cluster: str | None) -> bool:
    """As submitit decides it: Slurm where its commands are, unless another kind is named."""
    return cluster == "slurm" or (cluster is None and shutil.which("srun") is not None)
