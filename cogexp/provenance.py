"""Where a record comes from: versions and the state of the checkout.

Only the standard library here; nothing that is described is imported.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "torchvision", "diffusers", "transformers", "accelerate", "safetensors", "tokenizers",
    "spandrel", "hydra-core", "wandb", "lpips", "torchmetrics", "decord", "eva-decord", "av",
    "opencv-python-headless", "numpy",
)  # fmt: skip

GIT_SECONDS = 2.0  # for each question to git: a checkout on a slow share must not hold up a run


def versions() -> dict[str, str]:
    """Versions of Python, cogexp and its libraries, from metadata (nothing is imported); absent: left out."""
    from cogexp import __version__

    return {"python": platform.python_version(), "cogexp": __version__, **_installed()}


@functools.lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    """Once a process: reading the metadata takes a tenth of a second, and a loaded library stays as it is."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_state(root: Path) -> dict[str, Any] | None:
    """{"commit", "dirty"} of the checkout at `root`; None without git, a commit, or an answer in time.

    Dirty means that tracked files differ. A folder that git ignores (a virtual environment) has no state.
    """
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=GIT_SECONDS,
        )  # fmt: skip

    try:
        status = git("status", "--porcelain=v2", "--branch", "--untracked-files=no")
        commit = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", status.stdout, re.MULTILINE)
        if status.returncode or commit is None or git("check-ignore", "-q", ".").returncode == 0:
            return None
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    dirty = any(line[0] != "#" for line in status.stdout.splitlines() if line)
    return {"commit": commit[1], "dirty": dirty}
