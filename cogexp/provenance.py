"""Where a record comes from (versions, the state of the checkout), and what must never be in one (secrets).

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
from collections.abc import Sequence
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


SECRET_NAME = re.compile(
    r"(^|_)(API_?KEY|ACCESS_?KEY|SECRET\w*|TOKEN|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE
)
SECRET_PATTERNS = {  # what to look for (case ignored): what to put there
    r"(\w+://)[^\s/@'\"]+@": r"\1***@",  # https://user:password@host
    r"([?&][\w-]*(?:signature|token|key|credential|policy)[\w-]*=)[^&\s'\"]+": r"\1***",  # signed addresses
    r"\b(?:hf_|gh[pousr]_|github_pat_|wandb_v\d+_|sk-)[\w-]{16,}": "***",
    r"(\bbearer\s+)[\w.~+/=-]{8,}": r"\1***",
    r"(key\W{0,4}(?:is\W{1,3})?)[0-9a-f]{40}\b": r"\1***",  # a bare 40-hex word may be a commit
    r"((?:api[_-]?key|secret|password|passwd)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;]{4,}": r"\1***",
    r"(token['\"]?\s*[:=]\s*['\"]?)[^\s'\",;]{16,}": r"\1***",
}


def secrets() -> list[str]:
    """Values of environment variables that are named like secrets, the longest first."""
    found = {value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= 8}
    return sorted(found, key=len, reverse=True)


def redact(text: str, known: Sequence[str] | None = None) -> str:
    """`text` with whatever looks like a key, a token or a URL's credentials replaced by '***'.

    The `known` secrets go first, whatever they look like: those of `secrets()`, which whoever has many texts
    asks for once.
    """
    for secret in secrets() if known is None else known:
        text = text.replace(secret, "***")
    for pattern, replacement in SECRET_PATTERNS.items():
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text
