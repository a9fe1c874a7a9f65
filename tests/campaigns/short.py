"""The short form of a campaign: a few attempts, in a process of its own that may fork."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.campaigns.harness import ROOT, environment


def summary(name: str, folder: Path, *words: str, **extra: str) -> dict[str, Any]:
    """What the campaign counted."""
    done = subprocess.run(
        [sys.executable, "-m", f"tools.campaigns.{name}", "--folder", str(folder), *words],
        cwd=ROOT, env=environment(**extra), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr[-3000:]
    text = done.stdout[done.stdout.rindex('{\n "campaign"') :]
    return {**json.loads(text), "stderr": done.stderr}
